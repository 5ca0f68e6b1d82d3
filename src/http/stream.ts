// The streams are WebSockets: whoever asks for one without an upgrade is told so. spec/stream.md

import type { Answer } from './answer.ts'
import { Refusal } from './error-response.ts'

/** GET /export/stream and GET /log/stream, as ordinary requests. */
export function getStream(): Answer {
  throw new Refusal('UPGRADE_REQUIRED')
}
