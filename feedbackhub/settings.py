"""Settings. Every value that an operator may change comes from the environment (docs/operating.md lists them)."""

import os
from pathlib import Path

import environ
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent

env = environ.Env()
environ.Env.read_env(BASE_DIR / ".env", overwrite=False)

# Where state lives: database, queue, models, run directories, uploaded imports.
FEEDBACKHUB_HOME = Path(env("FEEDBACKHUB_HOME", default=str(BASE_DIR / "var"))).resolve()
MODELS_DIR = FEEDBACKHUB_HOME / "models"
RUNS_DIR = FEEDBACKHUB_HOME / "runs"
IMPORTS_DIR = FEEDBACKHUB_HOME / "imports"
MEDIA_DIR = FEEDBACKHUB_HOME / "media"
DATASETS_DIR = FEEDBACKHUB_HOME / "datasets"
COMPUTED_DIR = FEEDBACKHUB_HOME / "computed"
EMBEDDED_MODEL = "smollm2-135m"
EMBEDDED_MODEL_DIR = MODELS_DIR / EMBEDDED_MODEL
FEEDBACKHUB_HOME.mkdir(parents=True, exist_ok=True)


def _secret_key() -> str:
    """SECRET_KEY from the environment, else one made once and kept in FEEDBACKHUB_HOME, readable by its owner only."""
    if given := env("SECRET_KEY", default=""):
        return given
    import os
    import secrets

    path = FEEDBACKHUB_HOME / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text()
    key = secrets.token_urlsafe(50)
    with os.fdopen(descriptor, "w") as file:
        file.write(key)
    return key


SECRET_KEY = _secret_key()
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "django_rq",
    "django_htmx",
    "template_partials",
    "csp",
    "channels",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "feedbackhub.core",
    "feedbackhub.accounts",
    "feedbackhub.projects",
    "feedbackhub.tracing",
    "feedbackhub.runs",
    "feedbackhub.catalog",
    "feedbackhub.rating",
    "feedbackhub.chat",
    "feedbackhub.rewards",
    "feedbackhub.imports",
    "feedbackhub.evaluation",
    "feedbackhub.leaderboard",
    "feedbackhub.rounds",
    "feedbackhub.overview",
    "feedbackhub.api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "feedbackhub.core.middleware.LanguageMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "feedbackhub.core.middleware.DomainErrorMiddleware",
]

ROOT_URLCONF = "feedbackhub.urls"
ASGI_APPLICATION = "feedbackhub.asgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "feedbackhub.core.context.shell",
            ],
        },
    }
]

# SQLite by default. Immediate transactions take the write lock at BEGIN, so that two writers wait for each
# other instead of failing half-way with "database is locked"; synchronous=FULL keeps a committed vote over a power cut.
DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{FEEDBACKHUB_HOME / 'feedbackhub.sqlite3'}")}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["ENGINE"] = "feedbackhub.core.sqlite"
    # A file in tests too: only there do several connections meet as they do in production.
    DATABASES["default"]["TEST"] = {"NAME": str(FEEDBACKHUB_HOME / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-65536;",
    }
else:
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
    if env.bool("PREPARED_STATEMENTS", default=True):
        # Parsed and planned once a connection, not once a request.
        DATABASES["default"].setdefault("OPTIONS", {}).update(server_side_binding=True, prepare_threshold=2)
    # Compiling a query to machine code takes 70 ms; nothing that a page asks is worth it.
    DATABASES["default"].setdefault("OPTIONS", {}).setdefault("options", "-c jit=off")
DATABASES["default"]["CONN_MAX_AGE"] = 60
# Processes that serve pages: each keeps one core busy at most, and the database needs as much.
# SQLite has one writer at a time: one process.
_half = max(1, min(4, (os.cpu_count() or 1) // 2))
WEB_PROCESSES = env.int("WEB_PROCESSES", default=1 if DATABASES["default"]["ENGINE"].endswith("sqlite") else _half)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "accounts.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SESSION_COOKIE_SECURE = env.bool("SECURE_COOKIES", default=False)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE

# --- Language: the cookie of the choice in the menu, else the browser's, else English (docs/translating.md) -----
LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("de", _("German"))]
LOCALE_PATHS = [BASE_DIR / "feedbackhub" / "locale"]
FORMAT_MODULE_PATH = ["feedbackhub.formats"]
LANGUAGE_COOKIE_AGE = 60 * 60 * 24 * 365
LANGUAGE_COOKIE_SECURE = SESSION_COOKIE_SECURE
LANGUAGE_COOKIE_SAMESITE = "Lax"
LANGUAGE_COOKIE_HTTPONLY = True
USE_I18N = True
TIME_ZONE = "UTC"
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = env("STATIC_ROOT", default=str(FEEDBACKHUB_HOME / "staticfiles"))
STATICFILES_DIRS = [BASE_DIR / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
DATA_UPLOAD_MAX_MEMORY_SIZE = 20 * 1024 * 1024

# --- Pictures and videos in prompts and outputs ---------------------------------------------------------------
# Kept once each, named by their content. Any storage of Django's does: storages.backends.s3.S3Storage, for example.
MEDIA_STORAGE = env("MEDIA_STORAGE", default="django.core.files.storage.FileSystemStorage")
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "media": {
        "BACKEND": MEDIA_STORAGE,
        "OPTIONS": env.json("MEDIA_STORAGE_OPTIONS", default={})
        or ({"location": str(MEDIA_DIR)} if MEDIA_STORAGE.endswith("FileSystemStorage") else {}),
    },
}
MEDIA_IMAGE_MB = env.int("MEDIA_IMAGE_MB", default=20)  # MiB a picture
MEDIA_VIDEO_MB = env.int("MEDIA_VIDEO_MB", default=200)  # MiB a video
MEDIA_FETCH_SECONDS = env.int("MEDIA_FETCH_SECONDS", default=120)  # for one file, redirects included
# Hosts (host or host:port) that imports may fetch from although they are not on the public internet.
MEDIA_HOSTS_ALLOWED = env.list("MEDIA_HOSTS_ALLOWED", default=[])

# --- Queue, channel layer -------------------------------------------------------------------------------------
# The database is the truth; the queue can be lost at any time and is rebuilt from it by the sweeper.
# A Valkey that `manage.py up` has started says its port in a file: `manage.py shell` and the like use the same one.
_PORT_FILE = FEEDBACKHUB_HOME / "valkey.port"
VALKEY_PORT = _PORT_FILE.read_text().strip() if _PORT_FILE.exists() else env("VALKEY_PORT", default="6390")
REDIS_URL = env("REDIS_URL", default=f"redis://127.0.0.1:{VALKEY_PORT}/0")
QUEUE_PREFIX = env("QUEUE_PREFIX", default="")
RQ_QUEUES = {
    name: {"URL": REDIS_URL, "DEFAULT_TIMEOUT": timeout, "SERIALIZER": "rq.serializers.JSONSerializer"}
    for name, timeout in {"default": 60 * 60, "training": 7 * 24 * 60 * 60, "chat": 24 * 60 * 60}.items()
}
RQ = {"COMMIT_MODE": "on_db_commit"}
CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
        "CONFIG": {"hosts": [REDIS_URL], "prefix": QUEUE_PREFIX + "feedbackhub"},
    }
}
# Every room that keeps queued work offers sweep(); `manage.py sweep` calls them in this order.
SWEEPS = [
    "feedbackhub.runs.services.sweep",
    "feedbackhub.catalog.services.sweep",
    "feedbackhub.rating.services.sweep",
    "feedbackhub.leaderboard.services.sweep",
    "feedbackhub.chat.services.sweep",
    "feedbackhub.rewards.services.sweep",
    "feedbackhub.imports.services.sweep",
    "feedbackhub.evaluation.services.sweep",
    "feedbackhub.rounds.services.sweep",
    "feedbackhub.rounds.searches.sweep",
    "feedbackhub.rounds.autopilot.sweep",
    "feedbackhub.tracing.services.sweep",
    "feedbackhub.overview.digest.sweep",
]

# --- Rating, runs ---------------------------------------------------------------------------------------------
LEASE_SECONDS = env.int("LEASE_SECONDS", default=15 * 60)  # how long a rater holds a task
LEASES_HELD_AT_MOST = 3
RUN_LEASE_SECONDS = env.int("RUN_LEASE_SECONDS", default=20)  # how long a supervisor's word counts
RUN_ATTEMPTS_AT_MOST = env.int("RUN_ATTEMPTS_AT_MOST", default=5)
RUN_STOP_GRACE_SECONDS = env.int("RUN_STOP_GRACE_SECONDS", default=120)  # from SIGTERM to SIGKILL
CHAT_IDLE_SECONDS = env.float("CHAT_IDLE_SECONDS", default=300.0)  # how long a chat’s models stay loaded, unasked
# What an hour of the device costs, for the estimates before a round; 0: not told.
DEVICE_HOUR_PRICE = env.float("DEVICE_HOUR_PRICE", default=0.0)
DEVICE_HOUR_CURRENCY = env("DEVICE_HOUR_CURRENCY", default="EUR")
ESTIMATE_SECONDS = env.int("ESTIMATE_SECONDS", default=30)  # spent on measuring micro-batches
TRAINING_PYTHON = env("TRAINING_PYTHON", default="")  # another interpreter for `python -m training`, else ours

# --- Models at somebody else's endpoint; code that models write --------------------------------------------------
# The key is sent to this endpoint alone. Hosts (host or host:port) inside a private network that may be asked.
OPENAI_API_KEY = env("OPENAI_API_KEY", default="")
OPENAI_BASE_URL = env("OPENAI_BASE_URL", default="https://api.openai.com/v1")
ENDPOINT_HOSTS_ALLOWED = env.list("ENDPOINT_HOSTS_ALLOWED", default=[])
CODE_SANDBOX = env.bool("CODE_SANDBOX", default=False)  # docs/operating.md says what switching it on risks

# --- LangSmith: off without a key ----------------------------------------------------------------------------
LANGSMITH_API_KEY = env("LANGSMITH_API_KEY", default="")
LANGSMITH_ENDPOINT = env("LANGSMITH_ENDPOINT", default="https://api.smith.langchain.com")
LANGSMITH_PROJECT = env("LANGSMITH_PROJECT", default="feedbackhub")
FEEDBACKHUB_ADMIN_TOKEN = env("FEEDBACKHUB_ADMIN_TOKEN", default="")

# --- Content security: no inline script or style anywhere ------------------------------------------------------
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "img-src": ["'self'"],
        "media-src": ["'self'"],
        "object-src": ["'none'"],
        "base-uri": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
X_FRAME_OPTIONS = "DENY"
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
if env.bool("BEHIND_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# --- Mail: the weekly digest. Off without EMAIL_URL, like smtp+tls://user:password@host:587 ---------------------
DIGEST_MAIL = bool(env("EMAIL_URL", default=""))
vars().update(env.email_url_config(env("EMAIL_URL", default="") or "dummymail://"))
EMAIL_TIMEOUT = 20
DEFAULT_FROM_EMAIL = env("MAIL_FROM", default="FeedbackHub <feedbackhub@localhost>")
SITE_URL = env("SITE_URL", default=f"http://127.0.0.1:{env('PORT', default='8000')}").rstrip("/")

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "feedbackhub.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": [
        "feedbackhub.api.parsing.BodyParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "feedbackhub.api.errors.exception_handler",
    # Otherwise DRF takes ?format= for its own negotiation, and an export's format would be a 404.
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "FeedbackHub",
    "DESCRIPTION": "People judge what language models write; their judgments make the models better.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SCHEMA_PATH_PREFIX": "/api/v1",
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)-7s %(name)s  %(message)s", "datefmt": "%H:%M:%S"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env("LOG_LEVEL", default="INFO")},
    "loggers": {"httpx": {"level": "WARNING"}, "urllib3": {"level": "WARNING"}, "rq": {"level": "WARNING"}},
}
