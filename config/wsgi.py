"""The door for web servers (Granian: `granian --interface wsgi config.wsgi:application`)."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django_application = get_wsgi_application()

from billing.tasks import check_licence_at_start  # noqa: E402  needs the loaded apps
from config.checks import refuse_errors  # noqa: E402
from config.problems import problem  # noqa: E402
from quotas import hot_path  # noqa: E402

refuse_errors()
check_licence_at_start()
application = hot_path.in_front_of(django_application, problem)
