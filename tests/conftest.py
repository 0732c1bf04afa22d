"""What every test run has in common."""

from hypothesis import settings

# No deadline for a single case: on two shared cores a pause of the machine is not a property of the code. A test that
# hangs is ended by the time-out of the whole test.
settings.register_profile("taskhand", deadline=None)
settings.load_profile("taskhand")
