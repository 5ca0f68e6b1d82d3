// A directory whose whole policy are three mirrors that cosign, each a process of its own: no checkpoint, of the log or of its map, is
// published that not all of them hold or have derived; a receipt and a state proof say so to anybody.

import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { verdictOf } from '../../src/core/errors.ts'
import { verifyStateProof, type ProvedState } from '../../src/core/state-proof.ts'
import { parseVerifierKey } from '../../src/core/tlog/note.ts'
import { openUnderPolicy, parsePolicy } from '../../src/core/tlog/policy.ts'
import { verifyReceiptUnderPolicy } from '../interop/independent-verifier.ts'
import { exportOf, keepProcess, type Process } from '../support/kept-process.ts'
import { until } from '../support/mirror.ts'
import { person } from '../support/people.ts'
import { newHome } from '../support/program.ts'

const NAMES = ['ada', 'bob', 'cy'] as const
const SERVE = ['serve', '--data', 'data', '--checkpoint-interval', '50ms', '--map-interval', '100ms', '--log-level', 'warn']

describe('a directory whose checkpoints three mirrors must hold', () => {
  it('publishes what all of them have verified, waits where one is away, and gives receipts that say so', async () => {
    using home = newHome()
    const inHome = (name: string): string => join(home.folder, name)
    expect((await home.run(['init', '--origin', 'cosigned.test/log', '--data', 'data'])).code).toBe(0)
    const directory = await keepProcess(home, SERVE)
    const post = async (name: string, headers: Record<string, string> = {}): Promise<Response> => {
      const { did, genesis } = person(name)
      return fetch(`${directory.url}/${did}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: renderJson(genesis.value) })
    }
    for (let i = 0; i < 5; i++) expect((await post(`before ${i}`)).status).toBe(200)

    const mirrors: Process[] = []
    for (const name of NAMES) mirrors.push(await keepProcess(home, ['mirror', '--upstream', directory.url, '--upstream-vkey', inHome('data/log.vkey'), '--data', name, '--cosign', `${name}.test/m`, '--log-level', 'warn']))
    const [ada] = mirrors
    if (ada === undefined) throw new Error('there is no mirror')
    const [logVkey = '', mapVkey = ''] = await Promise.all(['log', 'map'].map(async (name) => (await (await fetch(`${directory.url}/${name}/vkey`)).text()).trim()))
    const vkeys = await Promise.all(mirrors.map(async ({ url }) => (await (await fetch(`${url}/vkeys`)).text()).trimEnd().split('\n')))
    const text = [
      ...[logVkey, mapVkey].map((vkey) => `log ${vkey}`),
      ...NAMES.flatMap((name, i) => [`witness ${name}-ed25519 ${vkeys[i]?.[0]} ${mirrors[i]?.url}`, `witness ${name}-ml-dsa ${vkeys[i]?.[1]} ${mirrors[i]?.url}`, `group ${name} any ${name}-ed25519 ${name}-ml-dsa`]),
      `group all all ${NAMES.join(' ')}`, 'quorum all', '',
    ].join('\n')
    const policy = parsePolicy(text)
    writeFileSync(inHome('policy'), text)
    await directory.stop()
    await directory.start([...SERVE, '--policy', 'policy'])

    for (let i = 0; i < 10; i++) {
      const answer = await post(`with ${i}`, { prefer: 'wait=30', accept: 'text/x.tlog-proof' })
      expect(answer.status).toBe(200)
      const receipt = await answer.text()
      const { genesis } = person(`with ${i}`)
      const proved = verifyReceiptUnderPolicy(receipt, renderJson(genesis.value), text)
      expect(proved, 'by a reader of the specification alone').toMatchObject({ cid: genesis.cid, index: 5 + i })
      expect(new Set(proved.witnesses.map((name) => name.split('-')[0]))).toEqual(new Set(NAMES))
      writeFileSync(inHome('receipt'), receipt)
      writeFileSync(inHome('operation'), renderJson(genesis.value))
    }
    const checkpoint = async (url: string): Promise<{ size: number; by: number }> => {
      const { checkpoint, verified } = openUnderPolicy(await (await fetch(`${url}/checkpoint`)).text(), policy)
      return { size: checkpoint.size, by: verified.length }
    }
    for (const { url } of [directory, ...mirrors]) await until(async () => (await checkpoint(url)).size === 15, () => `${url} shows what is published, under the policy`)

    const stateProof = async (url: string, name: string): Promise<string> => (await fetch(`${url}/${person(name).did}/state-proof`)).text()
    const provenIn = (proof: string, name: string): ProvedState | null => verdictOf(() => verifyStateProof(proof, person(name).did, { logKeys: [parseVerifierKey(logVkey)], mapKeys: [parseVerifierKey(mapVkey)], policy })).value
    for (const { url } of [directory, ...mirrors]) {
      let proof = ''
      await until(async () => (provenIn((proof = await stateProof(url, 'with 9')), 'with 9')?.state ?? null) !== null, () => `${url} proves the newest state, under the policy: ${proof}`)
      const proved = provenIn(proof, 'with 9')
      for (const opened of [proved?.map, proved?.log]) expect(new Set(opened?.verified.flatMap(({ key }) => NAMES.filter((name) => key.name === `${name}.test/m/rules-v1`)))).toEqual(new Set(NAMES))
    }

    await ada.kill()
    expect((await post('alone', { prefer: 'wait=1' })).status, 'taken, and not published').toBe(202)
    await ada.start()
    expect((await post('together', { prefer: 'wait=30' })).status, 'published once the third has caught up').toBe(200)
    await directory.kill()
    await directory.start()
    expect((await post('last', { prefer: 'wait=30' })).status).toBe(200)
    const all = await exportOf(directory.url)
    for (const { url } of mirrors) {
      await until(async () => (await checkpoint(url)).size === 18, () => `${url} shows all`)
      expect(await exportOf(url)).toBe(all)
      expect(await (await fetch(`${url}/_health`)).json()).toMatchObject({ alarm: null, rejected: 0, verifiedSize: 18 })
    }

    // The map's checkpoints went on as well: over a mirror that was away, and a directory that was killed.
    for (const { url } of [directory, ...mirrors]) {
      await until(async () => (provenIn(await stateProof(url, 'last'), 'last')?.state ?? null) !== null, () => `${url} proves what came last`)
      expect((await (await fetch(`${url}/_health`)).json() as { map: unknown }).map).toMatchObject({ fault: null })
    }
    writeFileSync(inHome('proof'), await stateProof(mirrors[1]?.url ?? '', 'last'))
    writeFileSync(inHome('absent'), await stateProof(directory.url, 'nobody'))

    for (const process of [directory, ...mirrors]) await process.stop()
    const verified = await home.run(['verify', 'receipt', '--operation', 'operation', '--policy', 'policy'])
    expect(verified.code, verified.stderr).toBe(0)
    expect(verified.stdout).toContain('quorum     all: met')
    for (const name of NAMES) expect(verified.stdout).toContain(`witnessed  by ${name}-ed25519`)
    for (const [file, words] of [['proof', 'state      active'], ['absent', 'state      not in the log']] as const) {
      const shown = await home.run(['verify', file, '--policy', 'policy'])
      expect(shown.code, shown.stderr).toBe(0)
      expect(shown.stdout).toContain(words)
      for (const name of NAMES) for (const what of ['map', 'log']) expect(shown.stdout).toContain(`${what.padEnd(11)}witnessed by ${name}-ed25519`)
      expect(shown.stdout).toContain('quorum     all: met, for both')
    }
  })
})
