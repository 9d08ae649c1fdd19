from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed

from feedbackhub.accounts.services import user_of_token


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Token …`"""

    def authenticate(self, request):
        kind, _, token = get_authorization_header(request).decode("latin-1").partition(" ")
        if kind.lower() != "token":
            return None
        user = user_of_token(token.strip())
        if user is None:
            raise AuthenticationFailed("This token is not known, or its user is not active.")
        return user, None

    def authenticate_header(self, request) -> str:
        return "Token"
