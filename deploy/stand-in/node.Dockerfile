# Stands in for node: this machine's node, npm and certificates.
ARG DEBIAN
FROM ${DEBIAN}
COPY --from=certificates ca-certificates.crt /etc/ssl/certs/
COPY --from=node bin/node /usr/local/bin/
COPY --from=node lib/node_modules/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
