"""A self-signed certificate for 127.0.0.1, for tests of TLS on loopback. It protects nothing: its key is right here.

Made once, valid for a century, so that tests need no certificate tool:
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -subj "/CN=voice-workflow test" \\
  -addext "subjectAltName=IP:127.0.0.1,DNS:localhost"
"""

KEY = b"""-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg+/C7WRvXYgatGs0U
2rpFXUMrCOkGdd6qkf08Ql7ldEahRANCAASFlKb8Gv3uGT/58yMQpKkWGRX1v+aM
BuBlogb95kNYygzzNnDBhoLK/VCEbGXMtB+NCBbk1t1OOq8e2r7R7Kh6
-----END PRIVATE KEY-----
"""

CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBrzCCAVWgAwIBAgIUVqJK+0XDx92qXxh9pPZwAMiEERUwCgYIKoZIzj0EAwIw
HjEcMBoGA1UEAwwTdm9pY2Utd29ya2Zsb3cgdGVzdDAgFw0yNjExMjEwOTIxMDRa
GA8yMTI2MTAyODA5MjEwNFowHjEcMBoGA1UEAwwTdm9pY2Utd29ya2Zsb3cgdGVz
dDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABIWUpvwa/e4ZP/nzIxCkqRYZFfW/
5owG4GWiBv3mQ1jKDPM2cMGGgsr9UIRsZcy0H40IFuTW3U46rx7avtHsqHqjbzBt
MB0GA1UdDgQWBBSTcPbGtWt9AbAzd0oIL0ZXXGkRBDAfBgNVHSMEGDAWgBSTcPbG
tWt9AbAzd0oIL0ZXXGkRBDAPBgNVHRMBAf8EBTADAQH/MBoGA1UdEQQTMBGHBH8A
AAGCCWxvY2FsaG9zdDAKBggqhkjOPQQDAgNIADBFAiBfisV/kiSkMMVdw4ybPqfF
0N5nrrzTTQ9GG7nRNUJEOwIhAKeHDJyy/nr7ft/pJDC4V0cA3pM3zD3TdnpR4ERY
lm6k
-----END CERTIFICATE-----
"""
