import { afterEach, describe, expect, it } from 'vitest'
import { clusterOnFolder, clusterOnServer, type Cluster } from '../support/cluster.ts'
import { cutCommit, cutNetwork, endSessions, killDatabase, killMember, strike, type Fault } from '../support/faults.ts'
import { startLoad } from '../support/load.ts'
import { checkCluster, observe } from '../support/observe.ts'

const KILLS = 3

describe('a directory of three processes loses nothing that it acknowledged, and never contradicts itself', () => {
  let cluster: Cluster | null = null
  afterEach(async () => {
    await cluster?.[Symbol.asyncDispose]()
    cluster = null
  })

  const survives = async (open: () => Promise<Cluster>, faults: readonly Fault[]): Promise<void> => {
    cluster = await open()
    const { members } = cluster
    const observer = observe(cluster)
    const load = startLoad({ urls: [members.signer.url, members.accepter.url], writers: 8, pauseMs: 60 })
    for (const fault of faults) await strike(KILLS, fault, cluster, load)
    await load.finish()
    await checkCluster(cluster, load, observer)
    for (const member of Object.values(members)) expect((await member.stop()).code, member.role).toBe(0)
  }

  it('when its processes are killed', () => survives(clusterOnFolder, [killMember('signer'), killMember('accepter'), killMember('reader')]))

  it("when its embedded database's server is killed, which comes back by itself", () => survives(clusterOnFolder, [killDatabase]))

  it('when connections to a server are cut, ended by an administrator, stalled, or lost in the middle of commits', () =>
    survives(clusterOnServer, [endSessions, cutNetwork, cutCommit]))
})
