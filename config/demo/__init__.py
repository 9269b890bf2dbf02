"""What `manage.py demo` sets up around the servers: environment, sample data, demo.json."""
