"""The TLS files, loaded and checked before the server listens."""

import ssl

from aioadapt import ServeError

from .options import Options


def context_of(options: Options) -> ssl.SSLContext | None:
    """The TLS context for both engines; None without a certificate.

    Both use the same object, so that a returning client can resume its session on
    either engine.

    Raises:
        ServeError: a file cannot be read or used, or the key does not match.
    """
    certificate = options.ssl_certfile
    if certificate is None:
        return None
    # The key may be in the same file, as with curl, uvicorn and most servers.
    key = options.ssl_keyfile or certificate
    for what, path in (("certificate", certificate), ("key", key)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ServeError(
                f"cannot read the TLS {what} {path}: {error.strerror}"
            ) from error

    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        # Without this, OpenSSL prompts on the terminal and a service hangs forever.
        if options.ssl_keyfile_password is None:
            raise _NoPasswordError
        return options.ssl_keyfile_password

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, options.ssl_keyfile, password)
    except _NoPasswordError:
        raise ServeError(
            f"the TLS key {key} is encrypted; pass its password (ssl_keyfile_password)"
        ) from None
    except ssl.SSLError as error:
        raise ServeError(_why(error, certificate, key, asked)) from error
    except ValueError as error:
        # OpenSSL's limit is 1,024 bytes.
        raise ServeError(f"invalid password for the TLS key {key}: {error}") from error
    return context


class _NoPasswordError(Exception):
    pass


def _why(error: ssl.SSLError, certificate: str, key: str, asked: bool) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the TLS key {key} does not match the certificate {certificate}"
    if asked:
        # Of OpenSSL's reasons Python keeps only that the error came from the PEM
        # reader.  But a password is asked for only once an encrypted key was found.
        return f"wrong password for the TLS key {key}"
    return (
        f"cannot use the TLS certificate {certificate} with the key {key}: "
        f"{error.reason or error} (likely cause: one of them is not in PEM format)"
    )
