"""TLS files, checked before anything listens."""

import ssl

from aioadapt import ServeError

from .options import Options


def context_of(options: Options) -> ssl.SSLContext | None:
    """What both engines serve TLS with; None where there is no certificate.

    It is one object for both, so that a client that comes back can resume its
    session whichever engine it meets.

    Raises:
        ServeError: a file cannot be read or used, or the key does not fit.
    """
    certificate = options.ssl_certfile
    if certificate is None:
        return None
    # As curl, most servers and uvicorn do: the key may be in the same file.
    key = options.ssl_keyfile or certificate
    for what, path in (("certificate", certificate), ("key", key)):
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ServeError(
                f"the TLS {what} {path} cannot be read: {error.strerror}"
            ) from error

    asked = False

    def password() -> str:
        nonlocal asked
        asked = True
        # Without this OpenSSL asks the terminal, and a service waits for ever.
        if options.ssl_keyfile_password is None:
            raise _NoPasswordError
        return options.ssl_keyfile_password

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, options.ssl_keyfile, password)
    except _NoPasswordError:
        raise ServeError(f"the TLS key {key} is encrypted; give its password") from None
    except ssl.SSLError as error:
        raise ServeError(_why(error, certificate, key, asked)) from error
    except ValueError as error:
        # OpenSSL has room for 1,024 bytes.
        raise ServeError(f"the password of the TLS key {key}: {error}") from error
    return context


class _NoPasswordError(Exception):
    pass


def _why(error: ssl.SSLError, certificate: str, key: str, asked: bool) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the TLS key {key} does not belong to the certificate {certificate}"
    if asked:
        # Python keeps no more of OpenSSL's reasons than that it came from its
        # reader of PEM files; a key that has a password has been read by then.
        return f"the password does not open the TLS key {key}"
    return (
        f"the TLS certificate {certificate} with the key {key} cannot be used: "
        f"{error.reason or error} (likely cause: one of them is not in PEM format)"
    )
