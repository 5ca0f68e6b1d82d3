import { describe, it } from 'vitest'
import { clusterOnFolder, clusterOnServer, type Cluster } from '../support/cluster.ts'
import { cutCommit, cutNetwork, endSessions, killDatabase, killEverything, killMember, stopMember, strike, swallowReply, type Fault } from '../support/faults.ts'
import { startLoad } from '../support/load.ts'
import { checkCluster, observe } from '../support/observe.ts'

const TIMES = Number(process.env['STELE_KILLS'] ?? '50')
const WRITERS = 32

const afterReader: Fault = async (cluster, load) => {
  await killMember('reader')(cluster, load)
  await killDatabase(cluster, load)
}

describe(`a directory of three processes under ${WRITERS} writers`, () => {
  const survives = async (open: () => Promise<Cluster>, faults: readonly (readonly [name: string, times: number, fault: Fault])[]): Promise<void> => {
    await using cluster = await open()
    const { members } = cluster
    const observer = observe(cluster)
    const load = startLoad({ urls: [members.signer.url, members.accepter.url], writers: WRITERS, pauseMs: 800 })
    await load.progress(WRITERS, 60_000)
    load.lap()
    observer.lap()
    for (const [name, times, fault] of faults) {
      const since = performance.now()
      await strike(times, fault, cluster, load)
      const figures = { strikes: times, seconds: Math.round((performance.now() - since) / 1000), ...load.lap(), longestWithoutCheckpointMs: observer.lap() }
      console.log(name, JSON.stringify(figures))
    }
    await load.finish()
    await checkCluster(cluster, load, observer)
    console.log(`kept ${load.acknowledged.size} acknowledged operations`)
  }

  it('survives kills of its processes and of its embedded database', () =>
    survives(clusterOnFolder, [
      ['SIGKILL of the signer', TIMES, killMember('signer')],
      ['SIGKILL of the accepter', TIMES, killMember('accepter')],
      // A process that has had to start the database again and again waits longer each time; one that is new does not.
      ['SIGKILL of the embedded database', Math.ceil(TIMES / 5), killDatabase],
      ['SIGKILL of the embedded database after one of a reader', TIMES, afterReader],
      ['SIGKILL of everything at once', Math.ceil(TIMES / 5), killEverything],
      ['SIGTERM to the signer', Math.ceil(TIMES / 5), stopMember('signer')],
    ]))

  it('survives a bad way to its database', () =>
    survives(clusterOnServer, [
      ['sessions ended by an administrator', TIMES, endSessions],
      ['network cut or stalled', TIMES, cutNetwork],
      ['connection cut in a commit', TIMES, cutCommit],
      ['reply to a commit swallowed', 3, swallowReply],
    ]))
})
