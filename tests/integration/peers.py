# SPDX-License-Identifier: Apache-2.0
"""Real servers, each started on a free port of 127.0.0.1 in a directory of its own, and ended by whoever started it.

Every function returns a started processes.Process with the members `host`, `port` and `address` added.
"""
import os
import pathlib
import pwd
import random
import shutil
import subprocess

import processes

HOST = "127.0.0.1"


def random_file(path, size, seed=1):
    """A file of random bytes, the same for the same seed."""
    generator = random.Random(seed)
    with open(path, "wb") as file:
        for offset in range(0, size, 1 << 20):
            file.write(generator.randbytes(min(1 << 20, size - offset)))
    return path


def _start(command, directory, port, name, **options):
    process = processes.Process(command, directory, name=name, **options)
    process.host, process.port, process.address = HOST, port, f"{HOST}:{port}"
    try:
        process.wait_listening(process.address)
    except BaseException:
        process.kill()
        raise
    return process


def nginx(directory, root, more=""):
    """Files below `root` by sendfile; /chunked/ has the same files with SSI, whose length nobody knows. `more`: of the
    server's configuration."""
    directory = pathlib.Path(directory)
    port = processes.free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(f"""
daemon off; master_process off; pid {directory}/nginx.pid; error_log stderr warn;
events {{ worker_connections 256; }}
http {{
  access_log {directory}/access.log; sendfile on; tcp_nopush on; keepalive_timeout 30s; types {{ }}
  default_type application/octet-stream; client_max_body_size 0;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy; fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
    listen {HOST}:{port}; root {root}; {more}
    location /chunked/ {{ alias {root}/; ssi on; ssi_types *; }}
  }}
}}
""")
    command = [shutil.which("nginx") or "/usr/sbin/nginx", "-p", directory, "-c", configuration, "-e", "stderr"]
    return _start(command, directory, port, "nginx")


def nghttpd(directory, root):
    """HTTP/2 without TLS."""
    port = processes.free_port()
    command = [shutil.which("nghttpd") or "/usr/sbin/nghttpd", "--no-tls", "-a", HOST, "-d", root, str(port)]
    return _start(command, directory, port, "nghttpd")


def redis(directory):
    port = processes.free_port()
    command = ["redis-server", "--port", port, "--bind", HOST, "--save", "", "--appendonly", "no", "--dir", directory,
               "--daemonize", "no", "--io-threads", "1"]
    return _start(command, directory, port, "redis")


def memcached(directory):
    port = processes.free_port()
    command = ["memcached", "-l", HOST, "-p", port, "-U", 0, "-t", 1, "-m", 16]
    if os.getuid() == 0:
        command += ["-u", "nobody"]
    return _start(command, directory, port, "memcached")


def iperf3(directory):
    port = processes.free_port()
    return _start(["iperf3", "-s", "-B", HOST, "-p", port], directory, port, "iperf3-server")


def sshd(directory):
    """For the user who runs the tests, by a key made here. `client_words` are what ssh and scp need."""
    directory = pathlib.Path(directory)
    port = processes.free_port()
    os.makedirs("/run/sshd", exist_ok=True)
    for name in ("host_key", "user_key"):
        processes.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", directory / name])
    shutil.copy(directory / "user_key.pub", directory / "authorized_keys")
    configuration = directory / "sshd_config"
    configuration.write_text(f"""
ListenAddress {HOST}:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/authorized_keys
PidFile {directory}/sshd.pid
PermitRootLogin yes
StrictModes no
UsePAM no
PasswordAuthentication no
PrintMotd no
MaxStartups 100
Subsystem sftp internal-sftp
""")
    process = _start(["/usr/sbin/sshd", "-D", "-e", "-f", configuration], directory, port, "sshd")
    process.client_words = ["-i", directory / "user_key", "-o", "StrictHostKeyChecking=no", "-o",
                            f"UserKnownHostsFile={directory}/known_hosts", "-o", "BatchMode=yes", "-o",
                            "IdentitiesOnly=yes", "-o", "LogLevel=ERROR", "-F", "none"]
    process.user = pwd.getpwuid(os.getuid()).pw_name
    return process


def postgres(directory):
    """A cluster of its own. It refuses to run as root: then as the user postgres."""
    directory = pathlib.Path(directory)
    port = processes.free_port()
    data = directory / "data"
    data.mkdir(mode=0o700)
    binaries = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    become = {}
    if os.getuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(data, user.pw_uid, user.pw_gid)
        become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    environment = {"HOME": str(directory), "LC_ALL": "C.UTF-8"}
    done = subprocess.run([binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--no-locale"],
                          capture_output=True, timeout=120, cwd="/", env=dict(os.environ, **environment), **become)
    assert done.returncode == 0, processes.as_text(done.stderr)
    # Its shared memory as files of its own: killed it leaves nothing in /dev/shm.
    settings = {"listen_addresses": HOST, "unix_socket_directories": "", "fsync": "off", "ssl": "off",
                "dynamic_shared_memory_type": "mmap", "max_connections": "50", "shared_buffers": "16MB"}
    words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return _start([binaries / "postgres", "-D", data, "-p", port, *words], directory, port, "postgres", cwd="/",
                  env=environment, **become)
