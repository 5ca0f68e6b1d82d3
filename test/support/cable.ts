// What connects a process with its database, or with another process, and can be cut: a port of 127.0.0.1 that leads to the server's
// Unix socket or port.

import { createConnection, createServer, type Socket } from 'node:net'

/** What befalls the next commit: it never arrives, its reply is lost with the connection, or its reply never comes. */
export type CommitFault = 'lose request' | 'lose reply' | 'silence'

/** A cable. */
export interface Cable extends AsyncDisposable {
  readonly port: number
  /** Ends every connection that it carries now. */
  cut(): void
  /** Carries nothing for a while, in neither direction; nothing is lost. */
  stall(ms: number): Promise<void>
  /** The next commit meets this fault. Resolves when it has. */
  strike(fault: CommitFault): Promise<void>
}

/** The message of PostgreSQL's protocol that ends a transaction, from its text on. */
const COMMIT = 'commit\0'

/** Lays a cable to the server whose socket is in the folder `host`, or that listens at this host and port. */
export async function layCable(server: { readonly host: string; readonly port: number }): Promise<Cable> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let armed: { readonly fault: CommitFault; readonly struck: () => void } | null = null
  let stalled = false

  const listener = createServer((client) => {
    const upstream = server.host.startsWith('/') ? createConnection(`${server.host}/.s.PGSQL.${server.port}`) : createConnection(server.port, server.host)
    const pair = [client, upstream] as const
    const cut = (): void => pair.forEach((socket) => socket.destroy())
    pairs.add(pair)
    let replies: 'carried' | 'lost' | 'swallowed' = 'carried'
    client.on('data', (bytes) => {
      const met = bytes.includes(COMMIT) ? armed : null
      if (met !== null) {
        armed = null
        met.struck()
      }
      if (met?.fault === 'lose request') cut()
      else upstream.write(bytes)
      if (met?.fault === 'lose reply') replies = 'lost'
      if (met?.fault === 'silence') replies = 'swallowed'
    })
    upstream.on('data', (bytes) => {
      if (replies === 'lost') cut()
      if (replies === 'carried') client.write(bytes)
    })
    for (const socket of pair) {
      if (stalled) socket.pause()
      socket.on('error', cut)
      socket.on('close', () => {
        cut()
        pairs.delete(pair)
      })
    }
  })
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const cut = (): void => [...pairs].flat().forEach((socket) => socket.destroy())
  return {
    port: address.port,
    cut,
    async stall(ms) {
      stalled = true
      for (const socket of [...pairs].flat()) socket.pause()
      await new Promise((resolve) => setTimeout(resolve, ms))
      stalled = false
      for (const socket of [...pairs].flat()) socket.resume()
    },
    strike: (fault) => new Promise((struck) => (armed = { fault, struck })),
    async [Symbol.asyncDispose]() {
      cut()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
}
