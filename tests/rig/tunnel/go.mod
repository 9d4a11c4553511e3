module tunnel

go 1.26
