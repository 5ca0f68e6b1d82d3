// The counter on a socket: its bounds, and its form of the errors that never reach it. spec/http.md#limits

import type { RequestListener } from 'node:http'
import type Koa from 'koa'
import type { ServerLimits as AllLimits } from '../net/connections.ts'
import { listenWith, type Listening, type PlainError, type Upgrades } from '../net/listen.ts'
import { TYPES } from './answer.ts'
import { LIMITS } from './limits.ts'
import { CACHE_CONTROL, COMMON_HEADERS } from './send.ts'

export type { Listening } from '../net/listen.ts'

/** Where to listen. */
export interface Address {
  readonly host: string
  /** 0 means any. */
  readonly port: number
  /** Each in place of the limit of its name. `connectionsPerAddress` is Infinity where all clients come through one proxy. */
  readonly limits?: Partial<ServerLimits>
  /** What takes connections over. */
  readonly upgrades?: Upgrades
}

/** The bounds of the server that can be set, beside those of the application that it serves. */
export type ServerLimits = Omit<AllLimits, 'headerBytes' | 'bodyBytes' | 'lingerSeconds'>

/** Serves an application. Throws what the system says where it cannot listen. */
export function listen(app: Koa | RequestListener, { host, port, limits, upgrades }: Address): Promise<Listening> {
  const handle = typeof app === 'function' ? app : app.callback()
  return listenWith(handle, { host, port, limits: { ...LIMITS, ...limits }, plainError, ...(upgrades === undefined ? {} : { upgrades }) })
}

function plainError(message: string): PlainError {
  return { body: JSON.stringify({ message }), headers: { ...COMMON_HEADERS, 'Cache-Control': CACHE_CONTROL.never, 'Content-Type': TYPES.json } }
}
