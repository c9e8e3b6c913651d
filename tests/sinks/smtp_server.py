"""A real SMTP server (aiosmtpd) for the mail tests, on loopback.

Prints {"port": N} when it listens, then one JSON object for each message that it accepted. Ends when its standard
input does, so it never outlives the test that started it.
"""

import argparse
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult


def say(thing):
    print(json.dumps(thing), flush=True)


class Handler:
    def __init__(self, options):
        self.refused = set(options.refuse)
        self.to_defer = options.defer
        self.deferred = set(options.defer_address)
        self.refuse_data = options.refuse_data

    async def handle_RCPT(self, server, session, envelope, address, rcpt_options):
        if address in self.refused:
            return "550 5.1.1 no such user"
        if self.to_defer > 0 and (not self.deferred or address in self.deferred):
            self.to_defer -= 1
            return "450 4.2.0 greylisted, come back later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.refuse_data:
            return "554 5.7.1 message looks like spam"
        say(
            {
                "from": envelope.mail_from,
                "to": envelope.rcpt_tos,
                "data": envelope.content.decode("utf-8", "replace"),
                "tls": session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None,
                "user": session.auth_data,
                "peer": session.peer[1],
            }
        )
        return "250 accepted"


def authenticator(expected):
    def check(server, session, envelope, mechanism, data):
        given = f"{data.login.decode()}:{data.password.decode()}"
        ok = given == expected
        return AuthResult(success=ok, handled=False, auth_data=data.login.decode() if ok else None)

    return check


async def serve(options):
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
    settings = {"hostname": "localhost"}
    if options.auth:
        # aiosmtpd knows only STARTTLS as encryption; with TLS from the first byte it need not ask.
        asks_for_tls = options.tls == "starttls"
        settings.update(authenticator=authenticator(options.auth), auth_required=True, auth_require_tls=asks_for_tls)
    if options.tls == "starttls":
        settings.update(tls_context=context, require_starttls=True)
    handler = Handler(options)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(handler, loop=loop, **settings),
        "127.0.0.1",
        options.port,
        ssl=context if options.tls == "tls" else None,
    )
    say({"port": server.sockets[0].getsockname()[1]})
    await loop.run_in_executor(None, sys.stdin.read)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--tls", choices=["none", "starttls", "tls"], default="none")
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--auth", help="user:password that is asked for")
    parser.add_argument("--refuse", action="append", default=[], help="an address that is answered with 550")
    parser.add_argument("--defer", type=int, default=0, help="so many recipients are answered with 450")
    parser.add_argument("--defer-address", action="append", default=[], help="only these")
    parser.add_argument("--refuse-data", action="store_true")
    asyncio.run(serve(parser.parse_args()))


main()
