// BullMQ on Node, measured the way `anchor bench` measures Anchor: no-op jobs, each with a number that is its result.
// `compare.py` runs it. FLUSHES the Redis at REDIS_PORT: it needs one of its own. Prints one line of JSON.
import { Queue, QueueEvents, Worker } from 'bullmq'
import IORedis from 'ioredis'
import { fork } from 'node:child_process'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'

const { REDIS_PORT, JOBS = '20000', SAMPLES = '500', CONCURRENCY = '100', ROLE } = process.env
const WARM_UP_JOBS = 2000
const WARM_UP_SAMPLES = 20
const BULK = 1000
const LANES = 32
const BACKGROUND_PER_SECOND = 2000
const BACKGROUND_MS = 10
const STALL_MS = 30_000
const connection = { host: '127.0.0.1', port: Number(REDIS_PORT) }
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))
const now = () => Number(process.hrtime.bigint()) / 1e6

if (ROLE === 'worker') {
  const worker = new Worker('q', async job => job.data.n, { connection, concurrency: Number(CONCURRENCY) })
  worker.on('error', console.error)
  await worker.waitUntilReady()
  process.send('ready')
} else {
  const redis = new IORedis.default(connection)
  await redis.flushall()
  const worker = fork(fileURLToPath(import.meta.url), { env: { ...process.env, ROLE: 'worker' } })
  await new Promise(resolve => worker.once('message', resolve))
  const queue = new Queue('q', { connection })
  await queue.waitUntilReady()

  let sent = 0
  const jobs = count => Array.from({ length: count }, () => ({ name: 'j', data: { n: sent++ } }))
  const allDone = async () => {
    for (let done = -1, progress = now(); done < sent; await sleep(5)) {
      const before = done
      done = await redis.zcard('bull:q:completed')
      if (done > before) progress = now()
      else if (now() - progress > STALL_MS) throw new Error(`no job finished for ${STALL_MS} ms: ${done} of ${sent}`)
    }
  }
  const bulk = async count => {
    for (let left = count; left > 0; left -= BULK) await queue.addBulk(jobs(Math.min(BULK, left)))
    await allDone()
  }
  const single = async count => {
    let left = count
    await Promise.all(Array.from({ length: LANES }, async () => {
      while (left-- > 0) await queue.add('j', { n: sent++ })
    }))
    await allDone()
  }
  const rate = async (run, count) => {
    const begun = now()
    await run(count)
    return Math.round(count / (now() - begun) * 1000)
  }
  const latency = async (events, samples) => {
    const taken = []
    for (let i = 0; i < WARM_UP_SAMPLES + samples; i++) {
      const n = sent++
      const begun = now()
      const answer = await (await queue.add('j', { n })).waitUntilFinished(events, STALL_MS)
      taken.push(now() - begun)
      if (answer !== n) throw new Error(`job ${n} answered ${answer}`)
    }
    const ordered = taken.slice(WARM_UP_SAMPLES).sort((a, b) => a - b)
    const rank = share => +ordered[Math.ceil(share * ordered.length) - 1].toFixed(3)
    return { samples, p50Ms: rank(0.5), p99Ms: rank(0.99), maxMs: rank(1) }
  }
  const latencyBeside = async (events, samples) => {
    let busy = true
    const before = sent
    const begun = now()
    const background = (async () => {
      const adding = []
      for (let tick = 0; busy; tick++) {
        await sleep(Math.max(0, begun + tick * BACKGROUND_MS - now()))
        adding.push(queue.addBulk(jobs(BACKGROUND_PER_SECOND * BACKGROUND_MS / 1000)))
      }
      await Promise.all(adding)
    })()
    const measured = await latency(events, samples)
    const reached = (sent - before - samples - WARM_UP_SAMPLES) / (now() - begun) * 1000
    busy = false
    await background
    await allDone()
    return { ...measured, backgroundPerSecond: Math.round(reached) }
  }

  await bulk(WARM_UP_JOBS)
  const bulkRate = await rate(bulk, Number(JOBS))
  const singleRate = await rate(single, Number(JOBS) / 2)
  // Opened only now: listening to events would slow the measures of throughput, which do not need them.
  const events = new QueueEvents('q', { connection })
  await events.waitUntilReady()
  await sleep(300)
  const idle = await latency(events, Number(SAMPLES))
  const busy = await latencyBeside(events, Number(SAMPLES))
  const version = createRequire(import.meta.url)('bullmq/package.json').version
  console.log(JSON.stringify({ version, node: process.versions.node, bulk: bulkRate, single: singleRate, idle, busy }))
  worker.kill()
  process.exit(0)
}
