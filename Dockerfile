# Printpost in a container; docs/container.md says how to run it.
#
#   docker build -t printpost .        podman build --format docker -t printpost .

# What runs beside Python.  These change least and come first.
FROM debian:trixie-slim AS programs
# slapd's scripts must neither make a database nor start a server: Printpost does both itself, as its own user.  Left out
# are 50 MB of Perl that only slapd's Perl backend wants.
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    echo 'slapd slapd/no_configuration boolean true' | debconf-set-selections; \
    printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d; chmod 755 /usr/sbin/policy-rc.d; \
    printf 'path-exclude %s\n' '/usr/share/doc/*' '/usr/share/man/*' '/usr/share/locale/*' '/usr/share/info/*' \
        '/usr/share/perl/*' '/usr/lib/*/perl/*' '/usr/lib/*/libperl.so*' >/etc/dpkg/dpkg.cfg.d/printpost; \
    echo 'path-include /usr/share/doc/*/copyright' >>/etc/dpkg/dpkg.cfg.d/printpost; \
    apt-get update -q; \
    apt-get install -y -q --no-install-recommends \
        bubblewrap fonts-dejavu-core fonts-wqy-microhei ghostscript libharfbuzz-subset0 libpangoft2-1.0-0 poppler-utils \
        python3 slapd; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*.log /var/log/apt /var/lib/ldap
RUN set -eu; \
    groupadd --gid 65532 printpost; \
    useradd --uid 65532 --gid printpost --no-create-home --home-dir /var/lib/printpost --shell /usr/sbin/nologin printpost; \
    install -d -m 700 -o printpost -g printpost /var/lib/printpost; \
    install -d -m 755 -o printpost -g printpost /run/printpost

# The pinned libraries, and what builds the wheel.
FROM debian:trixie-slim AS libraries
RUN set -eu; \
    apt-get update -q; \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends ca-certificates python3-venv
COPY requirements.lock /source/
RUN set -eu; \
    python3 -m venv /opt/printpost; \
    /opt/printpost/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile \
        --require-hashes --only-binary :all: -r /source/requirements.lock

# Printpost itself, laid out as it will lie over the libraries.
FROM libraries AS own
COPY . /source/
RUN set -eu; \
    cd /source; \
    /opt/printpost/bin/pip install --no-cache-dir --disable-pip-version-check --no-compile \
        --no-deps --no-build-isolation --no-index --prefix /own .; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /own -p /opt/printpost /own/lib

# The libraries as they run: without what installs and builds, without their own tests and C sources, compiled.
FROM libraries AS lean
RUN set -eu; \
    cd /opt/printpost; \
    bin/pip uninstall -y -q editables hatchling pathspec pluggy tomlkit trove-classifiers pip; \
    find lib -depth -type d \( -name test -o -name tests \) -exec rm -r {} +; \
    find lib -type f \( -name '*.c' -o -name '*.h' -o -name '*.pyx' -o -name '*.pxd' \) -delete; \
    rm -rf bin/activate* bin/Activate* include; \
    python3 -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/printpost/lib

FROM programs
COPY --from=lean /opt/printpost /opt/printpost
COPY --from=own /own /opt/printpost
# Data lie in $XDG_DATA_HOME/printpost where no configuration says otherwise.  A container's loopback is nobody's, so the
# page listens on all addresses, and speaks HTTPS there.
ENV PATH=/opt/printpost/bin:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin \
    LANG=C.UTF-8 \
    XDG_DATA_HOME=/var/lib \
    PRINTPOST_WEB__LISTEN=0.0.0.0:8025
LABEL org.opencontainers.image.title="Printpost" \
      org.opencontainers.image.description="Every printer gets an e-mail address: mail in, paper out." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.vendor="Printpost"
USER 65532:65532
WORKDIR /
VOLUME /var/lib/printpost
# SMTP, submission, submissions, POP3, POP3S, the page, and the metrics of the appliance and the bridge
EXPOSE 2525 1587 1465 1110 1995 8025 9125 9126
HEALTHCHECK --interval=30s --timeout=15s --start-period=30s --retries=3 CMD ["printpost", "healthcheck"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["printpost"]
CMD ["up"]
