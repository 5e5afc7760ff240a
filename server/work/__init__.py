"""Workers: the processes that decode images and run jobs, and the supervisor that gives them jobs."""
