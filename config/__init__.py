"""Everything above the apps: settings, URLs, the Celery application, commands to run it all."""
