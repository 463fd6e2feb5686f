# Stands in for apache/kafka: its jars of .deps with Debian's Java, and its own wrapper, which turns
# the environment into settings as in the original.
ARG DEBIAN
FROM ${DEBIAN}
RUN apt-get update \
    && apt-get install -y --no-install-recommends default-jre-headless \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 1000 appuser \
    && install -d -o appuser -g appuser \
        /var/lib/kafka/data /mnt/shared/config /opt/kafka/config /etc/kafka/secrets
COPY --from=kafka lib /opt/kafka/libs
COPY kafka /etc/kafka/docker
USER appuser
CMD ["/etc/kafka/docker/run"]
