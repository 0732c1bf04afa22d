"""`python -m supervisor` is `worker`, for when the script is not on PATH, as in a fresh environment or a test."""

from supervisor.cli import main

if __name__ == "__main__":
    main(prog_name="worker")
