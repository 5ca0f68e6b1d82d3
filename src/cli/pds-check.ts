// Whether a personal data server answers: the least that can be asked before an identity moves to it.

import { parseJson } from '../client/json.ts'
import { request, ServerError, UnreachableError } from '../client/request.ts'
import { utf8Decode } from '../core/encoding/text.ts'
import { verdictOf } from '../core/errors.ts'
import { RefusedError } from './exit.ts'

const MAX_BYTES = 65_536
const TIMEOUT_MS = 10_000

/** What a server says of itself, in words that it chose in part. Throws RefusedError where it does not answer as such a server does. */
export async function checkServer(url: string): Promise<string> {
  const base = url.replace(/\/+$/, '')
  const described = await ask(`${base}/xrpc/com.atproto.server.describeServer`)
  if (described.body !== null) return described.body.did === undefined ? 'it describes itself' : `it calls itself ${JSON.stringify(described.body.did)}`
  const health = await ask(`${base}/xrpc/_health`)
  if (health.body !== null) return health.body.version === undefined ? 'it is healthy' : `it is healthy, version ${JSON.stringify(health.body.version)}`
  throw new RefusedError(`${base} does not answer as a personal data server: ${described.reason}. Check the address; --no-check moves there all the same. Nothing was submitted`)
}

interface Reply {
  readonly body: { readonly did?: unknown; readonly version?: unknown } | null
  readonly reason: string
}

async function ask(url: string): Promise<Reply> {
  try {
    const { body } = await request({ url, maxBytes: MAX_BYTES }, { attempts: 2, timeoutMs: TIMEOUT_MS })
    const json = verdictOf(() => parseJson(utf8Decode(body))).value
    return typeof json === 'object' && json !== null ? { body: json, reason: '' } : { body: null, reason: `${url} answered with something else than JSON` }
  } catch (error) {
    if (error instanceof ServerError) return { body: null, reason: `${url} answered ${error.status}` }
    if (error instanceof UnreachableError) return { body: null, reason: error.message }
    throw error
  }
}
