"""A mail server from PyPI (aiosmtpd) that asks for STARTTLS and a password. Arguments: certificate, key, mode.

Prints its port, then one JSON line for each mail, read by Python's own mail parser. Modes: `good`; `plain` offers no
STARTTLS; `busy` answers 451 to the first mail.
"""
import email
import email.policy
import json
import ssl
import sys
import time

from aiosmtpd.controller import Controller
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


class Local(Controller):
    def factory(self):
        tls = {} if mode == "plain" else {"tls_context": context, "require_starttls": True}
        return SMTP(self.handler, authenticator=authenticate, auth_required=mode != "plain", **tls)


controller = Local(Handler(), hostname="127.0.0.1", port=0)
# Port 0: the port is known only once it is bound, and aiosmtpd's own check connects to the one it was given.
controller._trigger_server = lambda: None
controller.start()
print(controller.server.sockets[0].getsockname()[1], flush=True)
while True:
    time.sleep(3600)
