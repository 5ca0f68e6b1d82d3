// Dates that cannot be: said with figures, kept as alarms, and never a reason to reject anything.

import { describe, expect, it } from 'vitest'
import { Dates } from '../../mirror/dates.ts'
import { isAlarm, parseAlarm } from '../../src/core/alarm.ts'
import { encodeEntry } from '../../src/core/entry.ts'
import { formatNote, KEY_TYPES, makeSigningKey, parseNote, signText } from '../../src/core/tlog/note.ts'
import { identityLeaves } from '../support/stored-log.ts'
import { openMirror, until } from '../support/mirror.ts'
import { person } from '../support/people.ts'
import { openFront, serveLog, type ServedLog } from '../support/upstream.ts'

const WITNESS = makeSigningKey('witness.test/w', KEY_TYPES.cosignature, new Uint8Array(32).fill(6))
const LEAVES = identityLeaves(20)
const MINUTE = 60_000

const genesisAt = (name: string, createdAt: number): Uint8Array => encodeEntry({ did: person(name).did, createdAt, operation: person(name).genesis, source: null })

/** Publishes with a cosignature of this time, milliseconds since 1970. */
async function publishAt(upstream: ServedLog, time: number): Promise<void> {
  const note = parseNote(await upstream.publish())
  const publication = await upstream.store.publication()
  if (publication === null) throw new Error('nothing is published')
  await upstream.store.publish({ ...publication, note: formatNote({ ...note, signatures: [...note.signatures, signText(note.text, WITNESS, Math.floor(time / 1000))] }) })
}

describe('dates that cannot be', () => {
  it('an entry of the future: it is served as what it is, and health speaks of it until its time has come', async () => {
    await using upstream = await serveLog(LEAVES)
    await using mirror = await openMirror([upstream])
    await mirror.reaches(20)
    expect((await mirror.health()).status).toBe(200)
    await upstream.append([genesisAt('early', Date.now() + 60 * MINUTE)])
    await upstream.publish()
    await mirror.reaches(21)
    const words = /^entry 20 is dated 3[56]\d\d seconds after the clock of this machine: the log's clock is wrong, or this one$/
    expect(await mirror.health()).toMatchObject({ status: 503, rejected: 0, alarm: expect.stringMatching(words), faults: [expect.stringMatching(words)] })
    const [alarm, ...more] = mirror.kept('alarms')
    expect([isAlarm(alarm?.bytes ?? new Uint8Array()), more]).toEqual([true, []])
    expect(parseAlarm(Buffer.from(alarm?.bytes ?? '').toString()).words).toMatch(words)
    mirror.clock.ahead += 56 * MINUTE
    await until(async () => (await mirror.health()).alarm === null, () => 'its time has come near')
  })

  it('an entry that is older than the cosignatures of a tree without it: an alarm with both checkpoints, and nothing is rejected', async () => {
    const now = Date.now()
    await using upstream = await serveLog([genesisAt('first', now - 200 * MINUTE)])
    await publishAt(upstream, now - 60 * MINUTE)
    await using front = await openFront(upstream)
    front.streams = false
    await using mirror = await openMirror([front])
    await mirror.reaches(1)
    // Nobody sees the checkpoint before it is cosigned.
    front.gone = true
    await upstream.append([genesisAt('in time', now - 64 * MINUTE)])
    await publishAt(upstream, now - 58 * MINUTE)
    front.gone = false
    await mirror.reaches(2)
    expect((await mirror.health()).alarm, 'within the tolerance').toBeNull()
    front.gone = true
    await upstream.append([genesisAt('late', now - 64 * MINUTE), genesisAt('later', now)])
    await publishAt(upstream, now)
    front.gone = false
    await mirror.reaches(4)
    expect(await mirror.health()).toMatchObject({ status: 503, rejected: 0, verifiedSize: 4, alarm: expect.stringMatching(/^entry 2 is dated 3(59|60) seconds before the cosignatures of a tree that did not hold it$/) })
    const [alarm] = mirror.kept('alarms')
    expect(parseAlarm(Buffer.from(alarm?.bytes ?? '').toString()).parts.map(({ name }) => name)).toEqual(['checkpoint', 'checkpoint'])
    mirror.clock.ahead += 61 * MINUTE
    await until(async () => (await mirror.health()).alarm === null, () => 'it is said long enough')
  })

  it('a cosignature of the future, and one that is no time: the first is an alarm, the second nothing', async () => {
    await using upstream = await serveLog(LEAVES)
    await publishAt(upstream, Date.now() + 10 * MINUTE)
    await using mirror = await openMirror([upstream])
    await mirror.reaches(20)
    expect((await mirror.health()).alarm).toMatch(/^a cosignature of the newest checkpoint is dated (59\d|60\d) seconds after the clock/)
    const publication = await upstream.store.publication()
    const { text, signatures } = parseNote(publication?.note ?? '')
    const dates = new Dates({ clock: { now: () => 0, timeOfDay: () => 0, sleep: () => Promise.resolve() }, folder: { keepAlarm: () => null }, isOwn: () => false, log: () => undefined }, null)
    dates.published(formatNote({ text, signatures: [...signatures.slice(0, 1), { name: 'odd', id: '00000000', signature: new Uint8Array(72).fill(255) }] }))
    expect(dates.faults()).toEqual([])
  })

  it('the same checkpoint for ever, of a log that was cosigned every minute: health says that it has stopped or is withheld', async () => {
    const now = Date.now()
    await using upstream = await serveLog(LEAVES)
    await publishAt(upstream, now - MINUTE)
    await using mirror = await openMirror([upstream])
    await mirror.reaches(20)
    await publishAt(upstream, now)
    await until(async () => (await mirror.get('/checkpoint')).text === (await upstream.store.publication())?.note, () => 'it is cosigned again')
    expect((await mirror.health()).status).toBe(200)
    mirror.clock.ahead += 6 * MINUTE
    await until(async () => (await mirror.health()).faults?.length === 1, () => 'the jump of the clock is forgotten')
    expect(await mirror.health()).toMatchObject({ status: 503, alarm: null, faults: [expect.stringMatching(/^the newest checkpoint that is shown was cosigned 3[56]\d seconds ago/)] })
  })
})
