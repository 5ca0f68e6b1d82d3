import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { renderJson } from '../../src/core/encoding/json.ts'
import { listen } from '../../src/http/listen.ts'
import { createMetrics, type Metrics } from '../../src/http/metrics.ts'
import type { WriterObserver } from '../../src/log/ports.ts'
import type { Store } from '../../src/storage/store.ts'
import { Tip } from '../../src/storage/tip.ts'
import { ask, openCounter, postJson, type Reply } from '../support/counter.ts'
import { person } from '../support/people.ts'

const SPEC = readFileSync(join(import.meta.dirname, '../../spec/http.md'), 'utf8')

const NOTHING: Pick<Store, 'publication'> = { publication: () => Promise.resolve(null) }

function open(given: Partial<Parameters<typeof createMetrics>[0]> = {}): Metrics {
  return createMetrics({ tip: new Tip(), store: NOTHING, queue: () => 0, verifier: 'noble', version: '1.2.3', origin: 'counter.test/log', now: () => 0, ...given })
}

async function scrape({ app }: Metrics, path = '/metrics'): Promise<Reply> {
  await using listening = await listen(app, { host: '127.0.0.1', port: 0 })
  return await ask(listening.url, path)
}

/** The samples of one metric: labels as they are written, then value. */
async function samples(metrics: Metrics, name: string): Promise<Record<string, number>> {
  const { text } = await scrape(metrics)
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
  return Object.fromEntries(lines.map((line) => [line.slice(name.length, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1).replace('Nan', 'NaN'))]))
}

describe('GET /metrics', () => {
  it('is text for Prometheus, every name with the prefix, and the only path there is', async () => {
    const metrics = open()
    const reply = await scrape(metrics)
    expect(reply.status).toBe(200)
    expect(reply.headers['content-type']).toBe('text/plain; version=0.0.4; charset=utf-8')
    const lines = reply.text.trim().split('\n')
    expect(lines.filter((line) => !/^(# (HELP|TYPE) )?stele_[a-z0-9_]+(\{.*\})? ./.test(line) && line !== '')).toEqual([])
    expect(await samples(metrics, 'stele_info')).toEqual({ '{version="1.2.3",origin="counter.test/log",verifier="noble"}': 1 })
    expect(await samples(metrics, 'stele_process_resident_memory_bytes')).toEqual({ '': expect.any(Number) })
    for (const path of ['/', '/metrics/', '/_health', '/metrics/x']) expect((await scrape(metrics, path)).status, path).toBe(404)
  })

  it('shows what the specification lists, and nothing else but the figures of the process', async () => {
    const table = SPEC.slice(SPEC.indexOf('\n## Metrics'), SPEC.indexOf('\n## Errors'))
    const listed = [...table.matchAll(/^\| `(stele_\w+)` \| (\w+) \|/gm)].map(([, name, type]) => `${name} ${type}`)
    const { text } = await scrape(open({
      mirror: () => ({ upstream: null, verifiedSize: 0, lagEntries: 0, lagSeconds: 0, provisional: 0, rejected: 0, alarm: null, upstreams: [] }),
      notary: () => ({ upstream: 'http://plc.test', source: 'plc.test', cursor: 0, verifiedSize: 0, lagSeconds: 0, divergent: 0, refused: 0, alarm: null }),
    }))
    const shown = [...text.matchAll(/^# TYPE (\w+ \w+)$/gm)].map(([, type]) => type ?? '').filter((type) => !/^stele_(process|nodejs)_/.test(type))
    expect(listed.length).toBeGreaterThan(10)
    expect(shown.sort()).toEqual(listed.sort())
  })

  it('is independent of other registries', async () => {
    const [one, other] = [open(), open()]
    one.observer.roundFailed()
    expect(await samples(one, 'stele_rounds_failed_total')).toEqual({ '': 1 })
    expect(await samples(other, 'stele_rounds_failed_total')).toEqual({ '': 0 })
  })

  it('tells what the writer tells', async () => {
    const metrics = open({ queue: () => 7 })
    const observer: WriterObserver = metrics.observer
    observer.round({ operations: 5, accepted: 2, refused: ['MISORDERED', 'MISORDERED'], ms: 30 })
    observer.round({ operations: 1, accepted: 1, refused: [], ms: 3_000 })
    observer.outcomeUnknown()
    observer.published(3)
    observer.clockFault('the clocks disagree')
    expect(await samples(metrics, 'stele_rounds_total')).toEqual({ '': 2 })
    expect(await samples(metrics, 'stele_operations_total')).toEqual({ '{outcome="accepted"}': 3, '{outcome="refused"}': 2, '{outcome="unavailable"}': 1 })
    expect(await samples(metrics, 'stele_operations_refused_total')).toEqual({ '{code="MISORDERED"}': 2 })
    expect(await samples(metrics, 'stele_round_duration_seconds_sum')).toEqual({ '': 3.03 })
    expect(await samples(metrics, 'stele_round_duration_seconds_bucket')).toMatchObject({ '{le="0.02"}': 0, '{le="0.05"}': 1, '{le="5"}': 2, '{le="+Inf"}': 2 })
    expect(await samples(metrics, 'stele_unknown_outcomes_total')).toEqual({ '': 1 })
    expect(await samples(metrics, 'stele_checkpoints_published_total')).toEqual({ '': 1 })
    expect(await samples(metrics, 'stele_queue_length')).toEqual({ '': 7 })
    expect(await samples(metrics, 'stele_clock_fault')).toEqual({ '': 1 })
    observer.clockFault(null)
    expect(await samples(metrics, 'stele_clock_fault')).toEqual({ '': 0 })
  })

  it('tells how far the log has come, and nothing that it does not know', async () => {
    await using counter = await openCounter()
    const { tip, store, clock } = counter
    const metrics = open({ tip, store, now: () => clock.ms })
    expect(await samples(metrics, 'stele_checkpoint_age_seconds')).toEqual({ '': NaN })
    await counter.fill(3)
    await counter.publish()
    await counter.fill(2)
    clock.ms += 12_500
    expect(await samples(metrics, 'stele_durable_size')).toEqual({ '': 5 })
    expect(await samples(metrics, 'stele_checkpoint_size')).toEqual({ '': 3 })
    expect(await samples(metrics, 'stele_checkpoint_age_seconds')).toEqual({ '': 12.5 })
    for (const publication of [() => Promise.reject(new Error('gone')), () => new Promise<never>(() => undefined)]) {
      const blind = open({ tip, store: { publication } })
      const { text } = await scrape(blind)
      expect(text).toMatch(/^stele_checkpoint_size nan$/im)
      expect(text).toMatch(/^stele_checkpoint_age_seconds nan$/im)
      expect(text).toMatch(/^stele_durable_size 5$/m)
    }
  })

  it('tells how each witness fares, and whether the quorum is missed or contradicted', async () => {
    const witnesses = [
      { name: 'alice', cosignedAt: 1_000, latencyMs: 250, refusal: null },
      { name: 'bob', cosignedAt: null, latencyMs: null, refusal: 'it answered 500' },
    ]
    const metrics = open({ now: () => 3_500, witnesses: () => ({ witnesses, quorumMissed: true, alarm: true }) })
    expect(await samples(metrics, 'stele_witness_cosignature_age_seconds')).toEqual({ '{witness="alice"}': 2.5, '{witness="bob"}': NaN })
    expect(await samples(metrics, 'stele_witness_latency_seconds')).toEqual({ '{witness="alice"}': 0.25, '{witness="bob"}': NaN })
    expect(await samples(metrics, 'stele_witness_refused')).toEqual({ '{witness="alice"}': 0, '{witness="bob"}': 1 })
    expect(await samples(metrics, 'stele_quorum_missed')).toEqual({ '': 1 })
    expect(await samples(metrics, 'stele_witness_alarm')).toEqual({ '': 1 })
    const alone = open()
    expect([await samples(alone, 'stele_witness_refused'), await samples(alone, 'stele_quorum_missed')]).toEqual([{}, { '': 0 }])
  })

  it('counts requests by endpoint, never by what was asked', async () => {
    const metrics = open()
    await using counter = await openCounter({ options: { onRequest: metrics.onRequest } })
    const { did, genesis } = person('alice')
    await postJson(counter, did, renderJson(genesis.value))
    await postJson(counter, did, '{}')
    for (let i = 0; i < 300; i++) await counter.ask(`/did:plc:${String(i).replaceAll(/[01489]/g, 'a').padStart(24, 'b')}/data?x=${i}`)
    for (let i = 0; i < 50; i++) await counter.ask(`/a/b/${i}`, { method: i % 2 === 0 ? 'GET' : 'PROPFIND' })
    await counter.ask('/', { method: 'OPTIONS' })
    const requests = await samples(metrics, 'stele_http_requests_total')
    expect(requests).toEqual({
      '{route="/:did",method="POST",status="2xx"}': 1,
      '{route="/:did",method="POST",status="4xx"}': 1,
      '{route="/:did/data",method="GET",status="4xx"}': 300,
      '{route="none",method="GET",status="4xx"}': 25,
      '{route="none",method="other",status="4xx"}': 25,
      '{route="none",method="OPTIONS",status="2xx"}': 1,
    })
    expect(await samples(metrics, 'stele_http_request_duration_seconds_count')).toEqual(requests)
    expect(await samples(metrics, 'stele_http_refused_total')).toEqual({ '{code="INVALID_OPERATION"}': 1, '{code="DID_NOT_REGISTERED"}': 300, '{code="NO_SUCH_RESOURCE"}': 50 })
  })

  it('counts what was throttled, and incidents without a code', async () => {
    const metrics = open()
    const newest = (): Promise<never> => Promise.reject(new Error('gone'))
    await using sound = await openCounter()
    await using counter = await openCounter({ ports: { store: { ...sound.store, newest } }, options: { onRequest: metrics.onRequest, readRate: 1, elapsed: () => 0 } })
    for (let i = 0; i < 8; i++) await counter.ask(`/${person('alice').did}`)
    expect(await samples(metrics, 'stele_http_throttled_total')).toEqual({ '': 3 })
    expect(await samples(metrics, 'stele_http_requests_total')).toEqual({ '{route="/:did",method="GET",status="5xx"}': 5, '{route="none",method="GET",status="4xx"}': 3 })
  })
})
