# ISSUER=http://127.0.0.1:8080 uvicorn server:app --port 3000
import os
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException
from jotgate_feed import Feed, Stale

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ.get("AUDIENCE", ISSUER)
ALGORITHMS = ["ES256", "ES384", "RS256", "PS256", "EdDSA"]
NEEDS = {"require": ["exp", "iat", "iss", "aud", "sub", "client_id", "jti"]}
feed = Feed(ISSUER, stale_after=float(os.environ.get("STALE_AFTER", "60")))
# Kept for five minutes; an unknown key has them asked for again, once in 30 s at most.
keys = jwt.PyJWKClient(feed.jwks_uri(), lifespan=300, cooldown_duration=30, timeout=5)
app = FastAPI(openapi_url=None)


def verified(authorization: Annotated[str, Header()] = ""):
    """The claims of a token that is the issuer's, for this server, in time and not revoked."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    bad = HTTPException(401, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})
    try:
        key = keys.get_signing_key_from_jwt(token)
        whole = jwt.decode_complete(token, key, ALGORITHMS, issuer=ISSUER, audience=AUDIENCE, leeway=5, options=NEEDS)
        header, claims = whole["header"], whole["payload"]
        if header.get("typ") != "at+jwt" or feed.is_revoked(claims, header.get("kid")):
            raise bad
        return claims
    except (jwt.PyJWKClientConnectionError, Stale):  # nothing can be called good
        raise HTTPException(503) from None
    except (jwt.PyJWTError, RecursionError):
        raise bad from None


@app.get("/healthz")
def health():
    return feed.state()


@app.get("/notes")
def read(claims: Annotated[dict, Depends(verified)]):
    return {"notes": [], "of": claims.get("preferred_username")}


@app.delete("/notes")
def delete(claims: Annotated[dict, Depends(verified)]):
    if "editor" not in claims.get("roles", []):
        raise HTTPException(403)
    return {"deleted_by": claims["sub"]}
