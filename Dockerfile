# The image of web, worker, beat and release: the same code, another command (Procfile).
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements/base.txt requirements/otel.txt /tmp/
RUN pip install --require-hashes -r /tmp/base.txt
# `docker build --build-arg TRACING=1 .` brings what traces need; nothing loads it without an endpoint.
ARG TRACING=0
RUN if [ "$TRACING" = 1 ]; then pip install --require-hashes -r /tmp/otel.txt; fi
WORKDIR /app
COPY manage.py pyproject.toml ./
COPY config config
COPY orgs orgs
COPY billing billing
COPY quotas quotas
COPY templates templates
COPY static static
COPY locale locale
# Nothing is asked of these: they only let the settings load while the image is built.
RUN env SECRET_KEY=build DEBUG=0 ALLOWED_HOSTS=localhost SITE_URL=https://localhost \
    DATABASE_URL=postgresql://build@127.0.0.1:1/build REDIS_URL=redis://127.0.0.1:1/0 \
    sh -c 'python manage.py messages --compile && python manage.py collectstatic --noinput'

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /app ledgerline
COPY --from=build /opt/venv /opt/venv
COPY --from=build --chown=root:root /app /app
WORKDIR /app
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER ledgerline
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["granian", "--interface", "rsgi", "--no-ws", "--host", "0.0.0.0", "--port", "8000", "config.rsgi:application"]
