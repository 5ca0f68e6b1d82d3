// Followed entries as JSON: the lines of `stele follow`, and what webhooks are sent. docs/following.md#lines

import { base64 } from '../core/encoding/text.ts'
import { renderJson } from '../core/encoding/json.ts'
import { formatTimestamp } from '../core/encoding/timestamp.ts'
import type { Followed } from './follow.ts'

/** One entry in one line. An operation has the members of a line of `/export`, and beside them what it undid and what covers it. */
export function renderFollowed(one: Followed): string {
  const { origin, size, root } = one.checkpoint
  const checkpoint = `"checkpoint":${JSON.stringify({ origin, size, root: base64.encode(root) })}`
  const { entry, index } = one
  if (one.type === 'rejected') {
    const { code, message } = one.verdict
    const words = message.slice(0, MAX_WORDS).toWellFormed()
    return `{"seq":${index + 1},"type":"rejected_entry",${JSON.stringify({ did: entry?.did ?? null, cid: entry?.operation.cid ?? null, code, words, told: one.told }).slice(1, -1)},${checkpoint}}`
  }
  const { did, operation, createdAt, source } = one.entry
  const sourced = source === null ? '' : `"source":${JSON.stringify(source)},`
  return (
    `{"seq":${index + 1},"type":"sequenced_op","did":"${did}","operation":${renderJson(operation.value)},"cid":"${operation.cid}",` +
    `"createdAt":"${formatTimestamp(createdAt)}",${sourced}"undid":${JSON.stringify(one.undid)},${checkpoint}}`
  )
}

const MAX_WORDS = 300
