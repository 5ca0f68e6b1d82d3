// What a notary keeps, in PostgreSQL. spec/mirror.md#notary

import { sql, type Kysely } from 'kysely'
import type { PoolClient } from 'pg'
import type { Divergence, NotaryStore, UpstreamNotes } from './notary-store.ts'
import { checkNotes } from './rules.ts'
import type { DivergencesTable, Tables } from './tables.ts'

/** The notary's part of a store. */
export function notaryStore(db: Kysely<Tables>): NotaryStore {
  return {
    async upstream() {
      const row = await db.selectFrom('upstream').select(['source', 'numbered', 'cursor', 'highest']).executeTakeFirst()
      return row ?? null
    },

    async begin(source) {
      await db
        .insertInto('upstream')
        .values({ source, numbered: true, cursor: 0, highest: 0, dropped: 0 })
        .onConflict((conflict) => conflict.column('single').doNothing())
        .execute()
    },

    async numbers(from, count) {
      const { rows } = await sql<{ index: number; number: number }>`
        select distinct index + k as index, number + k as number
        from (select * from upstream_runs where index + count > ${from} order by index + count limit ${count}) as run
          cross join lateral generate_series(greatest(${from} - index, 0), least(count, greatest(${from} - index, 0) + ${count}) - 1) as k
        order by 1, 2 limit ${count}`.execute(db)
      return rows
    },

    // Runs that are not late grow in both: the first that reaches beyond is the least of them.
    async firstIndexAbove(number) {
      const above = sql`index + greatest(${number} + 1 - upstream_runs.number, 0)`
      const { rows } = await sql<{ index: number | null }>`
        select min(index) as index from (
          (select ${above} as index from upstream_runs where not late and number + count > ${number} + 1 order by number + count limit 1)
          union all
          select ${above} from upstream_runs where late and number + count > ${number} + 1
        ) as found`.execute(db)
      return rows[0]?.index ?? null
    },

    async smallestNumberFrom(index) {
      const reached = sql`number + greatest(${index} - upstream_runs.index, 0)`
      const { rows } = await sql<{ number: number | null }>`
        select min(number) as number from (
          (select ${reached} as number from upstream_runs where not late and index + count > ${index} order by index + count limit 1)
          union all
          select ${reached} from upstream_runs where late and index + count > ${index}
        ) as found`.execute(db)
      return rows[0]?.number ?? null
    },

    async setAside(after, count) {
      const rows = await db.selectFrom('set_aside').selectAll().where('number', '>', after).orderBy('number').limit(count).execute()
      return rows.map(({ seen_at: seenAt, ...row }) => ({ ...row, seenAt }))
    },

    async setAsideCounts(from) {
      const { rows } = await sql<{ kept: number; recent: number; dropped: number }>`
        select count(*) as kept, count(*) filter (where seen_at >= ${from}) as recent, coalesce((select dropped from upstream), 0) as dropped from set_aside`.execute(db)
      return rows[0] ?? { kept: 0, recent: 0, dropped: 0 }
    },

    async keepDivergence({ did, since, checkedAt, endedAt, kinds, theirs }, most) {
      const { rows } = await sql<{ kept: number }>`
        with kept as (
          insert into divergences (did, since, checked_at, ended_at, kinds, theirs)
          select ${did}, ${since}::bigint, ${checkedAt}::bigint, ${endedAt}::bigint, ${kinds}::text[], ${theirs}
          where exists (select from divergences where did = ${did}) or (select count(*) from divergences) < ${most}
          on conflict (did) do update set since = excluded.since, checked_at = excluded.checked_at, ended_at = excluded.ended_at,
            kinds = excluded.kinds, theirs = excluded.theirs
          returning 1
        ) select count(*) as kept from kept`.execute(db)
      return rows[0]?.kept === 1
    },

    async divergence(did) {
      const row = await db.selectFrom('divergences').selectAll().where('did', '=', did).executeTakeFirst()
      return row === undefined ? null : divergenceOf(row)
    },

    async divergences(after, count, lasting = false) {
      const found = db.selectFrom('divergences').selectAll().where('did', '>', after).orderBy('did').limit(count)
      const rows = await (lasting ? found.where('ended_at', 'is', null) : found).execute()
      return rows.map(divergenceOf)
    },

    async openDivergences(from) {
      const { rows } = await sql<{ all: number; recent: number }>`
        select count(*) as all, count(*) filter (where since >= ${from}) as recent from divergences where ended_at is null`.execute(db)
      return rows[0] ?? { all: 0, recent: 0 }
    },
  }
}

/** Writes what a round says of the upstream, in the transaction of that round. */
export async function noteUpstream(client: PoolClient, notes: UpstreamNotes): Promise<void> {
  checkNotes(notes)
  const { position, runs, aside, mostAside, settled } = notes
  await client.query({
    name: 'note upstream',
    text: POSITION,
    values: [position.source, position.numbered, position.cursor, position.highest],
  })
  if (runs.length > 0) {
    await client.query({
      name: 'note runs',
      text: RUNS,
      values: [runs.map((run) => run.index), runs.map((run) => run.number), runs.map((run) => run.count), runs.map((run) => run.late)],
    })
  }
  if (settled.length > 0) await client.query('delete from set_aside where key = any($1::text[]) and index is null', [settled])
  for (const { key, did, cid, code, words, upstream, index, seenAt, length, line } of aside) {
    await client.query({ name: 'set aside', text: SET_ASIDE, values: [key, did, cid, code, words, upstream, index, seenAt, length, line, mostAside] })
  }
}

const POSITION = `
  insert into upstream (source, numbered, cursor, highest, dropped) values ($1, $2, $3, $4, 0)
  on conflict (single) do update set source = excluded.source, numbered = excluded.numbered, cursor = excluded.cursor, highest = excluded.highest`

// The first run may go on with the one that was written last.
const RUNS = `
  with run as (
    select * from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::boolean[]) with ordinality as run (index, number, count, late, position)
  ), extended as (
    update upstream_runs as known set count = known.count + run.count from run
    where run.position = 1 and known.index + known.count = run.index and known.number + known.count = run.number and known.late = run.late
    returning 1
  )
  insert into upstream_runs (index, number, count, late)
  select index, number, count, late from run where position > 1 or not exists (select from extended)
  on conflict do nothing`

const SET_ASIDE = `
  with room as (
    select count(*) < $11::bigint as any, coalesce(max(number), 0) + 1 as next from set_aside
  ), kept as (
    insert into set_aside (number, key, did, cid, code, words, upstream, index, seen_at, length, line)
    select next, $1::text, $2, $3, $4, $5, $6::bigint, $7::bigint, $8::bigint, $9::bigint, $10::bytea from room where room.any
    on conflict (key) do nothing
  )
  update upstream set dropped = dropped + 1
  where not (select room.any from room) and not exists (select from set_aside where key = $1)`

function divergenceOf({ did, since, checked_at: checkedAt, ended_at: endedAt, kinds, theirs }: DivergencesTable): Divergence {
  return { did, since, checkedAt, endedAt, kinds, theirs }
}
