"""Pictures as a service: jobs over HTTP, a durable queue, and worker processes.

`impasto serve` starts it. The extra `serve` installs what it needs: `pip install 'impasto[serve]'`.
"""
