def exception_handler(error, context):
    from rest_framework.views import exception_handler as default

    return default(error, context)
