// Handles are looked up with the machine's DNS and over HTTPS: bounded, and without following redirects.

import { Resolver } from 'node:dns/promises'
import type { HandleLookup } from '../client/handle.ts'
import { request, ServerError } from '../client/request.ts'
import { utf8Decode } from '../core/encoding/text.ts'

const DNS_LIMITS = { timeout: 5_000, tries: 2 }
const HTTPS_LIMITS = { attempts: 2, timeoutMs: 10_000 }
/** A DID and a newline need far less. */
const MAX_BYTES = 2_048

/** The lookup of this machine. */
export function systemLookup(): HandleLookup {
  return {
    async txt(name) {
      try {
        return (await new Resolver(DNS_LIMITS).resolveTxt(name)).map((parts) => parts.join(''))
      } catch (error) {
        if (error instanceof Error && 'code' in error && (error.code === 'ENOTFOUND' || error.code === 'ENODATA')) return []
        throw error
      }
    },
    async get(url) {
      try {
        return utf8Decode((await request({ url, maxBytes: MAX_BYTES }, HTTPS_LIMITS)).body)
      } catch (error) {
        if (error instanceof ServerError && error.status === 404) return null
        throw error
      }
    },
  }
}
