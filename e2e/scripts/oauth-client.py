"""An OAuth client and a resource server of PyPI: Authlib over requests. What to ask comes in on a line as JSON, what was
said goes out on one."""

import json
import os
import sys

issuer, packages = sys.argv[1:]
sys.path.insert(0, packages)
# The server of a test has no TLS.
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc7662 import IntrospectTokenValidator
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url

# No proxy of its surroundings.
session = requests.Session()
session.trust_env = False
found = session.get(get_well_known_url(issuer, external=True))
found.raise_for_status()
metadata = AuthorizationServerMetadata(found.json())
assert metadata["issuer"] == issuer
metadata.validate_issuer()
for endpoint in ["introspection", "revocation"]:
    getattr(metadata, f"validate_{endpoint}_endpoint")()
    getattr(metadata, f"validate_{endpoint}_endpoint_auth_methods_supported")()


def client_of(question):
    secret = question.get("secret")
    way = "none" if secret is None else "client_secret_post" if question.get("post") else "client_secret_basic"
    client = OAuth2Session(question["id"], secret, token_endpoint_auth_method=way, revocation_endpoint_auth_method=way)
    client.trust_env = False
    return client


def answer_of(response):
    if response.status_code == 200:
        return response.json() if response.content else "ok"
    return {"refused": response.json()["error"], "status": response.status_code}


class Validator(IntrospectTokenValidator):
    """What a resource server does with a token that it was shown."""

    def __init__(self, question):
        super().__init__()
        self.question = question

    def introspect_token(self, token):
        with client_of(self.question) as client:
            said = client.introspect_token(metadata["introspection_endpoint"], token=token)
            said.raise_for_status()
            return said.json()


def ask(question):
    token, hint = question["token"], question.get("hint")
    if question["what"] == "validate":
        validator = Validator(question)
        told = validator.authenticate_token(token)
        try:
            validator.validate_token(told, question.get("scopes"), None)
        except OAuth2Error as refused:
            return {"refused": refused.error, "status": refused.status_code}
        return told["username"]
    with client_of(question) as client:
        if question["what"] == "revoke":
            return answer_of(client.revoke_token(metadata["revocation_endpoint"], token=token, token_type_hint=hint))
        return answer_of(client.introspect_token(metadata["introspection_endpoint"], token=token, token_type_hint=hint))


print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(ask(json.loads(line))), flush=True)
