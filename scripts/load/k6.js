// Calls to the gateway by k6 (0.54): each iteration is a call with one question, in real time.
//   python scripts/load/messages.py > call.json
//   k6 run -e TARGET=127.0.0.1:50051 -e MESSAGES=$PWD/call.json --vus 5 --duration 60s scripts/load/k6.js
// voice_response_ms: last chunk of the question sent -> first audio of the answer received.
import grpc from "k6/net/grpc";
import { Counter, Rate, Trend } from "k6/metrics";

const CHUNK_MS = Number(__ENV.CHUNK_MS || 20);
const ANSWER_TIMEOUT_MS = 15000;
const messages = JSON.parse(open(__ENV.MESSAGES));
// Silence is the same chunk again and again, from the end of the list on.
const quiet = messages[messages.length - 1].audio_chunk;
const lastSpoken = messages.map((message) => message.audio_chunk !== quiet).lastIndexOf(true);

const response = new Trend("voice_response_ms", true);
const answered = new Rate("voice_answered");
const failures = new Counter("voice_call_errors");

const client = new grpc.Client();
client.load([], __ENV.PROTO || "../../proto/voice_workflow.proto");

export const options = {
  thresholds: { voice_response_ms: ["p(95)<1500"], voice_answered: ["rate>0.99"] },
};

export default function () {
  client.connect(__ENV.TARGET || "127.0.0.1:50051", { plaintext: __ENV.TLS !== "1" });
  const stream = new grpc.Stream(client, "voice_workflow.VoiceGateway/StreamAudio");
  let next = 0, askedAt = 0, heardAt = 0, over = false, ticking = null;

  const finish = () => {
    if (over) return;
    over = true;
    clearInterval(ticking);
    clearTimeout(patience);
    answered.add(heardAt > 0);
    stream.end();
    client.close();
  };
  const patience = setTimeout(finish, messages.length * CHUNK_MS + ANSWER_TIMEOUT_MS);

  stream.on("data", (message) => {
    // Fields of a message arrive by their JSON names.
    if (message.audioChunk && askedAt && !heardAt) {
      heardAt = Date.now();
      response.add(heardAt - askedAt);
    }
    // A caller may break off as soon as the turn has ended.
    if (message.event && message.event.type === "END_OF_TURN" && heardAt) finish();
  });
  stream.on("error", () => { failures.add(1); finish(); });
  stream.on("end", finish);

  ticking = setInterval(() => {
    // After the file, silence goes on, as from a microphone.
    stream.write(next < messages.length ? messages[next] : { audio_chunk: quiet });
    if (next === lastSpoken) askedAt = Date.now();
    next += 1;
  }, CHUNK_MS);
}
