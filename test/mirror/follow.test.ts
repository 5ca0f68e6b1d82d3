// A mirror that has fallen behind its upstream's stream.

import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { verifyEvidence } from '../../src/core/evidence.ts'
import { decodeFrame, encodeFrame } from '../../src/core/frame.ts'
import { signCheckpoint } from '../../src/core/tlog/checkpoint.ts'
import { memoryStore } from '../../src/storage/memory.ts'
import { checkLog } from '../support/check-log.ts'
import { openMirror, until, type TestMirror } from '../support/mirror.ts'
import { identityLeaves, LOG_KEY } from '../support/stored-log.ts'
import { openFront, serveLog, type Front, type ServedLog } from '../support/upstream.ts'

const LEAVES = identityLeaves(60)

interface Scene extends AsyncDisposable {
  readonly upstream: ServedLog
  readonly front: Front
  readonly mirror: TestMirror
  /** Sizes of the checkpoints that the mirror has published. */
  readonly published: number[]
  /** Until the next call, with false, nothing is appended. */
  hold(held: boolean): void
  /** Ten entries more, published; resolves when their checkpoint has been sent to the mirror. */
  grow(): Promise<void>
}

/** A mirror that has followed to 20 entries, over a store that can be held. */
async function openScene(): Promise<Scene> {
  await using stack = new AsyncDisposableStack()
  const upstream = stack.use(await serveLog(LEAVES.slice(0, 20)))
  const front = stack.use(await openFront(upstream))
  const published: number[] = []
  let gate = Promise.withResolvers<void>()
  gate.resolve()
  const inner = memoryStore()
  const store: typeof inner = {
    ...inner,
    async underHead(work) {
      await gate.promise
      return inner.underHead(work)
    },
    async publish(publication) {
      published.push(publication.size)
      await inner.publish(publication)
    },
  }
  const mirror = stack.use(await openMirror([front], {}, { store, folder: mkdtempSync(join(tmpdir(), 'stele-mirror-')) }))
  await mirror.reaches(20)
  await until(async () => (await mirror.health()).upstream !== null, () => 'the stream is followed')
  let sent = 0
  front.frame = (bytes) => {
    const frame = decodeFrame(Uint8Array.from(bytes))
    if (frame.type === 'checkpoint') sent++
    return [bytes]
  }
  let size = 20
  const owned = stack.move()
  return {
    upstream, front, mirror, published,
    hold(held) {
      gate.resolve()
      gate = Promise.withResolvers<void>()
      if (!held) gate.resolve()
    },
    async grow() {
      const before = sent
      await upstream.append(LEAVES.slice(size, (size += 10)))
      await upstream.publish()
      await until(() => sent > before, () => `the checkpoint of ${size} is sent`)
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  }
}

describe.concurrent('a mirror that is behind the stream', () => {
  it('takes the entries of all checkpoints that have come together, and publishes the last', async () => {
    await using scene = await openScene()
    const { mirror, published } = scene
    scene.hold(true)
    for (let i = 0; i < 4; i++) await scene.grow()
    // What was sent has come when others have been answered after it.
    for (let i = 0; i < 5; i++) await mirror.health()
    scene.hold(false)
    await mirror.reaches(60)
    expect(published.filter((size) => size > 20)).toEqual([30, 60])
    await checkLog(mirror.store, [LOG_KEY])
    expect(await mirror.health()).toMatchObject({ status: 200, verifiedSize: 60, provisional: 0, alarm: null })
  })

  it('holds each of them against the others: two of one size are evidence, however soon the second comes', async () => {
    await using scene = await openScene()
    const { front, mirror } = scene
    const passed = front.frame
    front.frame = (bytes) => {
      const frame = decodeFrame(Uint8Array.from(bytes))
      const other = (): Buffer => Buffer.from(encodeFrame({ type: 'checkpoint', note: signCheckpoint({ origin: LOG_KEY.name, size: 30, root: new Uint8Array(32) }, [LOG_KEY]), consistency: null }))
      return [...passed(bytes), ...(frame.type === 'checkpoint' ? [other()] : [])]
    }
    await scene.grow()
    await until(async () => (await mirror.health()).alarm !== null, () => 'the mirror says so')
    expect((await mirror.health()).faults?.join()).toContain('following has stopped at 30 entries: the log has signed two trees that contradict each other')
    const [evidence] = mirror.kept('evidence')
    expect(verifyEvidence(evidence?.bytes ?? new Uint8Array(), [LOG_KEY]).evidence.kind).toBe('two-roots')
    expect((await mirror.get('/checkpoint')).text.split('\n')[1]).toBe('30')
  })

  it('publishes none that its entries do not lead to, though one before it was right', async () => {
    await using scene = await openScene()
    const { front, mirror, published } = scene
    const passed = front.frame
    front.frame = (bytes) => {
      const frame = decodeFrame(Uint8Array.from(bytes))
      const wrong = (): Buffer => Buffer.from(encodeFrame({ type: 'entries', start: 30, entries: LEAVES.slice(31, 41), provisional: true }))
      return [...passed(bytes), ...(frame.type === 'checkpoint' && published.at(-1) === 20 ? [wrong()] : [])]
    }
    await scene.grow()
    await scene.grow()
    await mirror.reaches(40)
    await checkLog(mirror.store, [LOG_KEY])
    expect(await mirror.health()).toMatchObject({ verifiedSize: 40, lagEntries: 0 })
  })
})
