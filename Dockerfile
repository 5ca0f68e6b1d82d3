# A directory in a container. Build: docker build -t stele .   Run: see docs/deploy.md#in-a-container
# Debian, not Alpine: the embedded PostgreSQL is built for glibc.
FROM node:24-slim AS build
WORKDIR /build
# The lock file first: while it stays the same, this layer does too.
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY scripts ./scripts
COPY src ./src
COPY mirror ./mirror
RUN npm run build

# What runs is installed from the same lock file, without compilers, tests and the Node of the checkout.
FROM node:24-slim AS dependencies
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --no-audit --no-fund

FROM node:24-slim
# A fixed id, so that volumes keep their owner from one image to the next. PostgreSQL refuses to run as root, and
# nothing here needs to.
RUN useradd --system --uid 10582 --home-dir /nonexistent --shell /usr/sbin/nologin stele \
  && install -d -o stele -g stele -m 0700 /srv/stele /var/lib/stele
WORKDIR /app
# Owned by root: the program cannot change itself.
COPY --from=dependencies /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json README.md LICENSE LICENSE-MIT LICENSE-APACHE ./
COPY bin ./bin
COPY migrations ./migrations
COPY spec ./spec
USER stele
# Data and state on volumes of their own: the database is backed up, the guard in the state never is. README.md#state
ENV NODE_ENV=production STELE_HOST=0.0.0.0 STELE_PORT=2582 STELE_DATA=/srv/stele XDG_STATE_HOME=/var/lib
VOLUME ["/srv/stele", "/var/lib/stele"]
EXPOSE 2582
# The first start initialises a database, hence the patience at the beginning. The image has no curl.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + process.env.STELE_PORT + '/_health').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# As a signal that ends it gracefully: it answers what is under way, publishes, and stops the database.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "bin/stele.js"]
CMD ["serve"]
