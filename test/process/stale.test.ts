// Documents of three processes on one database while they change: nobody is shown an older one than was answered for.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import type { Operation } from '../../src/core/plc/operation.ts'
import { clusterOnFolder, type Member } from '../support/cluster.ts'
import { get } from '../support/observe.ts'
import { person } from '../support/people.ts'

const PEOPLE = 8
const UPDATES = 7
const NOTICED_MS = 30_000

interface Subject {
  readonly did: string
  /** Its operations in order: the version of each is its position. */
  readonly chain: readonly Operation[]
}

const subjects = Array.from({ length: PEOPLE }, (_, i): Subject => {
  const p = person(`stale process ${i}`, 1)
  const chain = [p.genesis]
  for (let version = 1; version <= UPDATES; version++) chain.push(p.update(chain[version - 1] ?? p.genesis, { handle: `v${version}` }))
  return { did: p.did, chain }
})

async function submit({ url }: Member, did: string, operation: Operation): Promise<void> {
  const response = await fetch(`${url}/${did}`, { method: 'POST', body: renderJson(operation.value), headers: { 'Content-Type': 'application/json' } })
  expect(response.status, await response.text()).toBe(200)
}

async function versionAt({ url }: Member, did: string): Promise<number> {
  return Number(/at:\/\/v(\d+)/.exec((await get(`${url}/${did}`)).toString())?.[1] ?? 0)
}

it('shows what it has answered for at once, and what others have soon', async () => {
  await using cluster = await clusterOnFolder()
  const { signer, accepter, reader } = cluster.members
  const writers = [signer, accepter]
  const writing = new Set(subjects)
  /** For each process and DID, what it has answered for. */
  const answered = new Map<string, number>()
  const keyOf = ({ role }: Member, did: string): string => `${role} ${did}`

  const look = async (member: Member, { did }: Subject): Promise<void> => {
    const least = answered.get(keyOf(member, did)) ?? 0
    expect(await versionAt(member, did), `${did} at ${member.role}`).toBeGreaterThanOrEqual(least)
  }
  const write = async (subject: Subject, who: number): Promise<void> => {
    for (const [version, operation] of subject.chain.entries()) {
      const writer = writers[(who + version) % writers.length] ?? signer
      await submit(writer, subject.did, operation)
      answered.set(keyOf(writer, subject.did), version)
      await look(writer, subject)
    }
    writing.delete(subject)
  }
  // In turn, so that what is read was mostly read before, and is kept.
  const read = async (member: Member): Promise<void> => {
    for (let n = 0; writing.size > 0; n++) {
      const subject = subjects[n % PEOPLE]
      if (subject !== undefined && answered.has(keyOf(signer, subject.did)) && answered.has(keyOf(accepter, subject.did))) {
        if (member === reader) await versionAt(member, subject.did).catch(() => undefined)
        else await look(member, subject)
      }
      await sleep(1)
    }
  }
  await Promise.all([...subjects.map(write), ...[signer, signer, accepter, accepter, reader, reader].map(read)])
  for (const member of [signer, accepter, reader]) {
    for (const { did } of subjects) await expect.poll(() => versionAt(member, did), { timeout: NOTICED_MS, interval: 20 }).toBe(UPDATES)
  }
})
