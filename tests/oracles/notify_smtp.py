"""A mail server from PyPI (aiosmtpd) that asks for STARTTLS and a password. Arguments: certificate, key, mode.

Prints its port, then one JSON line for each mail, read by Python's own mail parser. Modes: `good`; `plain` offers no
STARTTLS; `busy` answers 451 to the first mail.
"""
import asyncio
import email
import email.policy
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

certificate, key, mode = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Handler:
    busy = mode == "busy"

    async def handle_DATA(self, server, session, envelope):
        if self.busy:
            self.busy = False
            return "451 4.3.0 try again later"
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "subject": mail["subject"],
                          "id": mail["message-id"], "date": mail["date"], "text": mail.get_content(),
                          "tls": session.ssl is not None, "user": (session.auth_data or [None])[0]}), flush=True)
        return "250 OK"


def authenticate(server, session, envelope, mechanism, data):
    good = data.login == b"pawl" and data.password == b"CANARY mail password"
    return AuthResult(success=good, auth_data=[data.login.decode()] if good else None, handled=False)


async def main():
    tls = {} if mode == "plain" else {"tls_context": context, "require_starttls": True}
    handler, options = Handler(), {"authenticator": authenticate, "auth_required": mode != "plain"}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, loop=loop, **options, **tls), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
