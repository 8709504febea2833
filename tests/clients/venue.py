"""Starts `pawl venue` for a test and asks it for the truth."""

import json
import os
import pathlib
import subprocess
import tempfile
import unittest
import urllib.request

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY, SECRET = "client-key", "client-secret"
ED_KEY = "client-ed25519-key"
PAWL = os.environ.get("PAWL", "../../target/debug/pawl")


class VenueTest(unittest.TestCase):
    """One venue for all tests of a class."""

    arguments = []

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.folder.name)
        private = Ed25519PrivateKey.generate()
        cls.private_pem = private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        public = folder / "public.pem"
        public.write_bytes(
            private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        command = [PAWL, "venue", "--account", f"desk:{KEY}:{SECRET}", "--ed25519", f"desk:{ED_KEY}:{public}"]
        command += ["--balance", "USDT=100000", "--balance", "BTC=1", *cls.arguments]
        cls.log = open(folder / "stderr", "w+")
        cls.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=cls.log, text=True)
        cls.url = cls.process.stdout.readline().strip()
        if not cls.url.startswith("http"):
            cls.process.wait()
            cls.log.seek(0)
            raise RuntimeError(f"the venue did not start: {cls.log.read()}")
        cls.websocket = cls.url.replace("http", "ws", 1)

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        status = cls.process.wait(timeout=20)
        cls.process.stdout.close()
        cls.log.close()
        cls.folder.cleanup()
        assert status == 0, f"the venue ended with {status}"

    def admin(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self.url}/admin/{path}", data=data) as answer:
            return json.load(answer)

    def truth(self):
        """The venue's own books of the one account."""
        return self.admin("truth")["accounts"][0]

    def balance(self, asset):
        """Free and locked of an asset, by the venue's books."""
        row = next(row for row in self.truth()["balances"] if row["asset"] == asset)
        return float(row["free"]), float(row["locked"])
