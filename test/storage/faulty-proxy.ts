// A TCP proxy before a database that loses what a test wants it to lose.

import { createConnection, createServer, type Socket } from 'node:net'

/** What befalls the next COMMIT, or statement that commits by itself: it never arrives, its reply is lost with the connection, or its reply never comes. */
export type CommitFault = 'lose request' | 'lose reply' | 'silence'

export interface FaultyProxy extends AsyncDisposable {
  readonly port: number
  /** The fault that it meets; null for none. */
  fault: CommitFault | null
}

/** Listens on a port of 127.0.0.1, a free one where none is given, and passes everything to the Unix socket of a server. */
export async function startFaultyProxy(server: { readonly host: string; readonly port: number }, port = 0): Promise<FaultyProxy> {
  const sockets = new Set<Socket>()
  const listener = createServer((client) => {
    const upstream = createConnection(`${server.host}/.s.PGSQL.${server.port}`)
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => sockets.delete(socket))
    }
    let met: CommitFault | null = null
    client.on('data', (bytes) => {
      if (proxy.fault !== null && (bytes.includes('commit\0') || bytes.includes('append next\0'))) {
        met = proxy.fault
        proxy.fault = null
      }
      if (met === 'lose request') {
        client.destroy()
        upstream.destroy()
      } else upstream.write(bytes)
    })
    upstream.on('data', (bytes) => {
      if (met === 'lose reply') client.destroy()
      else if (met === null) client.write(bytes)
    })
    client.on('end', () => upstream.end())
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => met ?? client.destroy())
  })
  await new Promise<void>((resolve) => listener.listen(port, '127.0.0.1', resolve))
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const proxy: FaultyProxy = {
    port: address.port,
    fault: null,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => listener.close(resolve))
    },
  }
  return proxy
}
