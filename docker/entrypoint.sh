#!/bin/sh
# What a container is: web, or any command of manage.py (workers default=2 training, sweep, createsuperuser, demo, …).
set -eu
cd /srv/feedbackhub

case "${1:-web}" in
    web)
        python manage.py migrate --noinput
        python manage.py collectstatic --noinput --verbosity 0
        # Once; without it the site still imports, rates and ranks.
        python -m training fetch-base "$FEEDBACKHUB_HOME/models/smollm2-135m" \
            || echo "the embedded base model is not there; the next start tries again" >&2
        exec python -m uvicorn feedbackhub.asgi:application --host 0.0.0.0 --port "${PORT:-8000}" \
            --workers "${WEB_PROCESSES:-2}" --lifespan off --log-level "${WEB_LOG_LEVEL:-info}" --no-server-header --timeout-graceful-shutdown 10
        ;;
    *)
        exec python manage.py "$@"
        ;;
esac
