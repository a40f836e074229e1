// Requests at a fixed rate, whole and streamed, as a team would load its own box with k6.
//
//   PENSTOCK_KEY=... k6 run bench/k6/chat.js
//   BASE_URL=http://127.0.0.1:8080 RATE=500 DURATION=1m MODEL=mock-chat ... k6 run bench/k6/chat.js
//
// Arrivals are open-loop: k6 starts requests at their time whether or not earlier ones are done, and
// reports `dropped_iterations` when it could not. k6 reads a streamed answer as a whole; `waiting`
// is then the time to the first byte of the head, not to an event. It exits non-zero when a
// threshold below is missed, so it can stand in a pipeline.
import http from 'k6/http'
import { check } from 'k6'

const base = __ENV.BASE_URL || 'http://127.0.0.1:8080'
const rate = Number(__ENV.RATE || 200)
const duration = __ENV.DURATION || '30s'
const model = __ENV.MODEL || 'mock-chat'
const bodyBytes = Number(__ENV.BODY_BYTES || 1024)

const scenario = (exec, part) => ({
    executor: 'constant-arrival-rate',
    exec,
    rate: Math.max(1, Math.round(rate * part)),
    timeUnit: '1s',
    duration,
    preAllocatedVUs: 50,
    maxVUs: 1000,
})

export const options = {
    discardResponseBodies: false,
    scenarios: { whole: scenario('whole', 0.9), streamed: scenario('streamed', 0.1) },
    thresholds: {
        checks: ['rate>0.999'],
        dropped_iterations: ['count==0'],
        'http_req_duration{scenario:whole}': ['p(99)<2000'],
    },
}

const params = {
    headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${__ENV.PENSTOCK_KEY}`,
    },
}

const request = (stream) =>
    JSON.stringify({
        model,
        stream,
        messages: [{ role: 'user', content: 'word '.repeat(Math.max(1, (bodyBytes - 100) / 5)) }],
    })
const wholeBody = request(false)
const streamedBody = request(true)

export function setup() {
    if (!__ENV.PENSTOCK_KEY) throw new Error('PENSTOCK_KEY is not set')
}

export function whole() {
    const answer = http.post(`${base}/v1/chat/completions`, wholeBody, params)
    check(answer, {
        'status is 200': (a) => a.status === 200,
        'has a choice': (a) => a.status === 200 && a.json('choices.0.message.content') !== undefined,
    })
}

export function streamed() {
    const answer = http.post(`${base}/v1/chat/completions`, streamedBody, params)
    check(answer, {
        'status is 200': (a) => a.status === 200,
        'stream is complete': (a) => typeof a.body === 'string' && a.body.includes('data: [DONE]'),
    })
}
