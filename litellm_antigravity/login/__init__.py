"""Signing in with a browser: OAuth 2.0 for installed programs (RFC 8252) with PKCE (RFC 7636), as Google documents it.

The user's own OAuth client asks; none is built in. Nothing is written here: what a sign-in gave is handed to whoever
asked for it.
"""
