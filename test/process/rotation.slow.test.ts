// A log's keys change in the hands of its operator: a directory, a witness and the commands, each a process of its own.

import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { openCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { formatVerifierKey, parseVerifierKey } from '../../src/core/tlog/note.ts'
import { openUnderPolicy, parsePolicy } from '../../src/core/tlog/policy.ts'
import { parseTlogProof } from '../../src/core/tlog/tlog-proof.ts'
import { person } from '../support/people.ts'
import { newHome, type Home, type Started } from '../support/program.ts'

const ORIGIN = 'rotated.test/log'

describe('the change of a key', { timeout: 240_000 }, () => {
  let home: Home
  let witness: Started
  let witnessUrl: string
  beforeAll(() => {
    home = newHome()
  })
  afterAll(() => home[Symbol.dispose]())

  const inHome = (name: string): string => join(home.folder, name)
  const vkeys = (): string[] => readFileSync(inHome('data/log.vkey'), 'utf8').trim().split('\n')

  async function done(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await home.run(args)
    expect(code, stderr).toBe(0)
    return stdout.trim()
  }

  async function startWitness(logs: readonly string[], port: string): Promise<void> {
    witness = home.start(['witness', '--name', 'w.test/w', '--data', 'w', '--port', port, '--log-level', 'warn', ...logs.flatMap((vkey) => ['--log', vkey])])
    witnessUrl = (await witness.line).slice('stele witness listening on '.length)
  }

  async function end(started: Started): Promise<void> {
    started.child.kill('SIGTERM')
    expect((await started.ended).code).toBe(0)
  }

  function writePolicy(logs: readonly string[]): void {
    const [ed25519 = '', mlDsa = ''] = readFileSync(inHome('w/witness.vkeys'), 'utf8').split('\n')
    writeFileSync(inHome('policy'), [...logs.map((vkey) => `log ${vkey}`), `witness a ${ed25519} ${witnessUrl}`, `witness b ${mlDsa} ${witnessUrl}`, 'group w any a b', 'quorum w', ''].join('\n'))
  }

  /** Serves, takes an operation, and ends; the receipt under the quorum, and what `during` made of the directory's address. */
  async function served(name: string, during: (url: string) => Promise<string> = () => Promise.resolve('')): Promise<{ receipt: string; said: string }> {
    const directory = home.start(['serve', '--port', '0', '--data', 'data', '--policy', 'policy', '--checkpoint-interval', '50ms', '--log-level', 'warn'])
    const url = (await directory.line).slice('stele listening on '.length)
    const { did, genesis } = person(name)
    const headers = { 'content-type': 'application/json', prefer: 'wait=30', accept: 'text/x.tlog-proof' }
    const answer = await fetch(`${url}/${did}`, { method: 'POST', headers, body: renderJson(genesis.value) })
    const receipt = await answer.text()
    expect(answer.status, receipt).toBe(200)
    openUnderPolicy(parseTlogProof(receipt).checkpoint, parsePolicy(readFileSync(inHome('policy'), 'utf8')))
    const said = await during(url)
    await end(directory)
    return { receipt, said }
  }

  it('is announced, lasts while witnesses learn of it, and leaves old receipts and the memory of the witness as they are', async () => {
    const first = await done('init', '--origin', ORIGIN, '--data', 'data', '--ml-dsa')
    const [old = '', lattice = ''] = first.split('\n')
    expect([vkeys(), parseVerifierKey(old).type, parseVerifierKey(lattice).type]).toEqual([[old, lattice], 1, 6])
    await startWitness([old, lattice], '0')
    writePolicy([old, lattice])
    const { receipt } = await served('before')
    expect(openCheckpoint(parseTlogProof(receipt).checkpoint, [old, lattice].map(parseVerifierKey)).verified).toHaveLength(2)

    const next = await done('keygen', 'log', ORIGIN, '--out', 'new.key')
    expect(await done('signer', 'add-key', 'new.key', '--data', 'data')).toBe(next)
    const without = await home.run(['serve', '--port', '0', '--data', 'data', '--key', 'new.key'])
    expect(without).toMatchObject({ code: 1, stderr: expect.stringMatching(/this log is signed with the key rotated\.test\/log\+[0-9a-f]{8} too, which is not at hand/) as string })
    writePolicy([old, next, lattice])
    const both = await served('between', (url) => done('keys', url, '--vkey', old))
    expect(both.said.split('\n')).toEqual([old, next, lattice])
    expect(openCheckpoint(parseTlogProof(both.receipt).checkpoint, [parseVerifierKey(next)]).verified).toHaveLength(1)

    const { id } = parseVerifierKey(old)
    // This witness knows the ML-DSA-44 key, which stays: it accepts what the old key has not signed. One that knew the old key alone does not.
    const port = new URL(witnessUrl).port
    await end(witness)
    await startWitness([old], port)
    const refused = await home.run(['signer', 'retire-key', id, '--data', 'data', '--policy', 'policy'])
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("it does not accept the log's signature (403)") as string })
    expect(await home.run(['signer', 'retire-key', id, '--data', 'data'])).toMatchObject({ code: 2 })
    await end(witness)
    await startWitness([old, next, lattice], port)
    await done('signer', 'retire-key', id, '--data', 'data', '--policy', 'policy')

    writePolicy([next, lattice])
    const after = await served('after', async (url) => {
      expect(await done('fsck', url, '--vkey', next)).toMatch(/\nwhole$/)
      return done('keys', url, '--vkey', old, '--retired')
    })
    expect(after.said.split('\n')).toEqual([next, lattice, old])
    expect(vkeys()).toEqual([next, lattice])
    expect(openCheckpoint(parseTlogProof(after.receipt).checkpoint, [next, lattice].map(parseVerifierKey)).verified.map(({ key }) => formatVerifierKey(key))).toEqual([next, lattice])
    writeFileSync(inHome('receipt'), receipt)
    writeFileSync(inHome('operation'), renderJson(person('before').genesis.value))
    expect(await done('verify', 'receipt', '--operation', 'operation', '--vkey', old, '--vkey', next)).toContain('verified')
    await end(witness)
  })
})
