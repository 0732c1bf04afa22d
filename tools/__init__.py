"""Programs the Makefile runs for those who work on the repository; nothing here is installed with the package."""
