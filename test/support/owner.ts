// What owners of identities have in tests: files with the test keys, and a directory that serves, with a past or without.

import { sha256 } from '@noble/hashes/sha2.js'
import { base58 } from '@scure/base'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { directoryClient, type DirectoryClient } from '../../src/client/directory-client.ts'
import { utf8Encode } from '../../src/core/encoding/text.ts'
import { renderAuditLog, type LedgerRecord } from '../../src/core/plc/records.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { testKey } from './identities.ts'
import { newHome, type Ended, type Home } from './program.ts'

/** The multibase secret of a test key, as its file holds it. */
export function testSecret(n: number): string {
  const codec = testKey(n).curve === 'k256' ? [0x81, 0x26] : [0x86, 0x26]
  return `z${base58.encode(Uint8Array.from([...codec, ...sha256(utf8Encode(`key ${n}`))]))}`
}

/** A home with a directory that serves, and a file `N.key` for each of the first test keys. */
export interface OwnerScene extends Disposable {
  readonly home: Home
  readonly url: string
  readonly directory: DirectoryClient
  /** Runs `stele did ...` or any other command against the directory. */
  stele(...args: readonly string[]): Promise<Ended>
  /** Submits operations one after the other. */
  submit(did: string, ...operations: readonly Operation[]): Promise<void>
  /** How many operations the directory knows of an identity. */
  count(did: string): Promise<number>
}

/** Opens one. `past` is imported before the directory begins to serve. */
export async function openOwnerScene(past: readonly LedgerRecord[] = []): Promise<OwnerScene> {
  const home = newHome()
  for (let n = 0; n < 6; n++) writeFileSync(join(home.folder, `${n}.key`), `${testSecret(n)}\n`)
  if (past.length > 0) {
    writeFileSync(join(home.folder, 'past.json'), renderAuditLog(past))
    for (const args of [['init', '--origin', 'owner.test/log'], ['import', 'past.json']]) {
      const { code, stderr } = await home.run([...args, '--data', 'data'])
      if (code !== 0) throw new Error(stderr)
    }
  }
  const serving = home.start(['serve', '--port', '0', '--data', 'data', '--checkpoint-interval', '50ms'])
  const url = (await serving.line).slice('stele listening on '.length)
  const directory = directoryClient(url)
  return {
    home,
    url,
    directory,
    stele: (...args) => home.run(args, { env: { STELE_URL: url } }),
    async submit(did, ...operations) {
      for (const operation of operations) await directory.submit(did, operation)
    },
    count: async (did) => (JSON.parse(await directory.auditLog(did)) as unknown[]).length,
    [Symbol.dispose]: () => home[Symbol.dispose](),
  }
}
