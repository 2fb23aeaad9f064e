// Reads playlists as JSON lines from stdin; the answer to each is a line: "" or what hls-parser says against it.
const [, , folder] = process.argv;
const HLS = require(`${folder}/node_modules/hls-parser`);

HLS.setOptions({ strictMode: true });
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    try {
      HLS.parse(JSON.parse(line));
      console.log("");
    } catch (error) {
      console.log(error.message.replaceAll("\n", " "));
    }
  });
